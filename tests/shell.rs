//! `hortator shell -c`: the words of the command line and its own, filters, and no change without leave.

mod program;

use program::{Dev, Finished};
use serde_json::Value;

fn shell(dev: &Dev, commands: &str) -> Finished {
    dev.call(&["shell", "-c", commands])
}

#[test]
fn a_shell_looks_and_changes_only_when_allowed() {
    let dev = Dev::start(&["--masters", "3", "--workers", "2"]);
    let hello = program::repository("configs/workflows/hello.workflow.yaml").display().to_string();
    dev.call(&["workflow", "apply", &hello]).expect(0);
    let run = dev.call(&["start", "hello", "--wait", "-o", "name"]).expect(0).stdout.trim().to_owned();

    // Everything that looks.
    for (commands, part) in [
        ("status", "available\t"),
        ("masters", "n3"),
        ("groups", "GROUP\tROLE\t"),
        ("raft groups", "n1,n2,n3"),
        ("raft show 0", "committed"),
        ("raft log 1 --from 1 --limit 5", "barrier"),
        ("actors --by time", "GroupActor"),
        ("mailboxes", "Dispatcher"),
        ("workers", "w2"),
        ("worker show w1", "slots"),
        ("balance", "MASTER\tFIT\tSHARDS\tLEADS"),
        ("runs", run.as_str()),
        ("run show hello@latest", "succeeded"),
        ("explain hello@latest", "waits any more"),
        ("run at hello@latest --time 2200-01-01T00:00:00Z", "succeeded"),
        ("help", "mailboxes"),
        ("help H1020", "read-only"),
        ("raft what-if --lose n2", "kept"),
        ("worker show --help", "WORKER"),
        ("watch 100ms 2x status", "available\t"),
        ("nodes", "w2"),
        ("whoami", "admin"),
        ("slow 3", "TOOK\tWHAT\tAGO"),
        ("actors top by busy --no-headers", "GroupActor:shard-1"),
        ("actors tree", "GroupActor:membership"),
        ("actor show Shard:shard-1", "its kind"),
        ("actor show dispatcher", "handled"),
        ("mailbox peek Gateway", "refused 0"),
        ("mailbox dead", "KIND\tDEAD\tLAST\tREFUSED"),
        ("actor messages GroupActor:shard-1 --for 300ms", "MESSAGE\tHANDLED"),
        ("warnings", "ABOUT\tWARNING"),
        ("raft verify", "alone"),
        ("raft verify 1 --deep", "alone"),
        ("time status", "available\t"),
        ("events --last 200", "finished: succeeded"),
        ("events --last 200 'version 1'", "workflow default/hello"),
        ("rebalance --dry-run", "SHARD\tFROM\tTO\tRESULT"),
        ("help H9040", "rows"),
    ] {
        let said = shell(&dev, commands).expect(0).stdout;
        assert!(said.contains(part), "{commands}: {part:?} is not in\n{said}");
    }
    assert_eq!(shell(&dev, "watch 100ms 2x status").expect(0).stdout.lines().count(), 2);

    // Filters.
    let lines = shell(&dev, "workers --no-headers | grep '^w[2-9]\t'").expect(0).stdout;
    assert_eq!(lines.lines().count(), 1, "{lines}");
    let json: Value = shell(&dev, "workers | json").expect(0).json();
    assert_eq!(json["items"].as_array().unwrap().len(), 2);
    let json: Value = shell(&dev, "runs -n 1 -o json").expect(0).json();
    assert_eq!(json["items"][0]["id"], run.as_str());
    let two = shell(&dev, "workers -o name; runs -o name").expect(0).stdout;
    assert_eq!(two.lines().collect::<Vec<_>>(), ["w1", "w2", &run]);

    // What does not work says why, ends the script, and gives its exit code.
    for (commands, exit, part) in [
        ("raft what-if --lose n2,n3; runs", 6, "would lose"),
        ("run show 01ARZ3NDEKTSV4RRFFQ69G5FAV; status", 3, "[H3001]"),
        ("raft show 7", 3, "[H3081]"),
        ("raft transfer 1 --to n9", 5, "[H1020]"),
        ("rebalance", 5, "[H1020]"),
        ("raft snapshot 1", 5, "[H1020]"),
        ("runs > ", 2, "one name of a file"),
        ("runs > /nowhere/at/all", 1, "cannot write"),
        ("events -f | grep x", 2, "has no end"),
        ("events '('", 2, "no regular expression"),
        ("diff 1:1 now --object hello@latest", 2, "neither a position nor a time"),
        ("start hello", 5, "write on"),
        ("worker cordon w1", 5, "[H1020]"),
        ("write on elsewhere; worker cordon w1", 2, "not \"elsewhere\""),
        ("write on", 2, "write on CLUSTER"),
        ("dev", 2, "no command for the shell"),
        ("shell", 2, "no command for the shell"),
        ("statsu", 2, "unrecognized"),
        ("runs | sort", 2, "no filter"),
        ("actor show Nobody", 3, "[H3082]"),
        ("actor restart Shard:shard-1", 5, "[H1020]"),
        ("write on dev; actor restart Gateway", 4, "[H3083]"),
        ("actors top by restarts", 2, "not ordered by"),
        ("use n9", 3, "[H3050]"),
        ("use n2; runs", 3, "no API address"),
        ("at 1:3; runs", 2, "only knows the present"),
        ("at sometime", 2, "neither a position nor a time"),
        ("step 1", 2, "begin at a position"),
        ("runs | grep '('", 2, "regular expression"),
        ("runs |", 2, "no command"),
    ] {
        let ended = shell(&dev, commands).expect(exit);
        assert!(ended.stderr.contains(part), "{commands}: {part:?} is not in\n{}", ended.stderr);
        assert!(!ended.stdout.contains(&run), "{commands} went on");
    }

    // A shard begins anew where it is led, and goes on.
    dev.call(&["shell", "--write", "-c", "raft transfer 1 --to n1; actor restart shard-1"]).expect(3);
    let anew = dev.call(&[
        "shell",
        "--write",
        "-c",
        "actor restart Shard:shard-1; start hello --wait; run show hello@latest",
    ]);
    assert!(anew.expect(0).stdout.contains("began anew"));

    // Time travel: from the end of the run back to its first entry.
    let events = shell(&dev, &format!("run events {run} | json")).expect(0).stdout;
    let first = events.split("\"position\":").nth(1).unwrap().split('"').nth(1).unwrap().to_owned();
    let then =
        shell(&dev, &format!("at {first}; run show {run}; step -1; now; run show {run}")).expect(0).stdout;
    assert!(then.contains("dispatched") && then.contains("succeeded"), "{then}");

    // What changed meanwhile, and why a task waited.
    let last = events.rsplit("\"position\":").next().unwrap().split('"').nth(1).unwrap().to_owned();
    let changed = shell(&dev, &format!("diff {first} {last} --object {run}")).expect(0).stdout;
    assert!(changed.contains("run\t") && changed.contains("\tsucceeded"), "{changed}");
    let explained = shell(&dev, &format!("at {first}; explain {run}; now; explain {run} --at {last}"));
    let explained = explained.expect(0).stdout;
    assert!(explained.contains("As of") && explained.contains("nothing of run"), "{explained}");

    // A file gets what would have been printed.
    let file = dev.home.path().join("workers").display().to_string();
    assert_eq!(shell(&dev, &format!("workers --no-headers | grep '^w2' > {file}")).expect(0).stdout, "");
    assert!(std::fs::read_to_string(&file).unwrap().starts_with("w2\t"));

    // The log is cut behind what all have, and the shard goes on.
    let cut =
        dev.call(&["shell", "--write", "-c", "raft snapshot 1; raft show 1; start hello --wait"]).expect(0);
    assert!(cut.stdout.contains("group 1"), "{}", cut.stdout);

    // Changes, once allowed; `write off` takes the leave back.
    let done = shell(
        &dev,
        "write on dev; worker cordon w1; raft transfer 1 --to n2; worker uncordon w1; write off; start hello",
    );
    assert!(done.expect(5).stderr.contains("[H1020]"));
    let leader = shell(&dev, "groups | json").expect(0).json();
    assert_eq!(leader["items"][1]["leader"], 2);
    dev.call(&["shell", "--write", "-c", "raft transfer 1 --to n1; start hello --wait; exit; nonsense"])
        .expect(0);
    assert_eq!(shell(&dev, "runs -o name").expect(0).stdout.lines().count(), 4);
    assert_eq!(dev.interrupt(), 0);
}
