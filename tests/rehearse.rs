//! `hortator workflow test` on samples of the program: the timeline, and exit codes as everywhere.

mod program;

use program::Home;

const ETL: &str = "configs/workflows/etl.workflow.yaml";

#[test]
fn a_sample_is_rehearsed() {
    let home = Home::new();
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/configs/workflows/etl.workflow.yaml");
    assert!(file.ends_with(ETL));
    let told =
        home.call(&["workflow", "test", file, "--gives", "load.regions=4", "-o", "json"]).expect(0).json();
    assert_eq!(told["state"], "succeeded", "{told:#}");
    let tasks = told["tasks"].as_array().unwrap();
    assert!(tasks.len() >= 3, "{told:#}");
    let first = tasks[0]["task"].as_str().unwrap();
    let failing = format!("{first}=fail:2s");
    let table = home.call(&["workflow", "test", file, "--stub", &failing]).expect(8).stdout;
    assert!(table.contains("is failed") && table.contains("xxx"), "{table}");
    let hanging = format!("{first}=hang");
    home.call(&["workflow", "test", file, "--stub", &hanging, "--within", "5s"]).expect(9);
    let wrong = home.call(&["workflow", "test", file, "--stub", "nosuchtask=ok"]).expect(2);
    assert!(wrong.stderr.contains("nosuchtask"), "{}", wrong.stderr);
    home.call(&["workflow", "test", file, "--stub", "x=perhaps"]).expect(2);
    home.call(&["workflow", "test", "nothing.yaml"]).expect(3);
}
