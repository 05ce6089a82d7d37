use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::json;

use super::*;

struct World;

impl Tasks for World {
    fn task(&self, id: &str) -> Option<TaskScope<'_>> {
        let outputs = BTreeMap::from([("ok".into(), json!(true)), ("rows".into(), json!([1, {"n": 2}]))]);
        ["check", "load-eu"]
            .contains(&id)
            .then_some(TaskScope { state: "succeeded", outputs: Cow::Owned(outputs) })
    }
}

fn with_scope<T>(use_it: impl FnOnce(&Scope<'_>) -> T) -> T {
    let inputs = BTreeMap::from([
        ("region".into(), json!("eu")),
        ("day-part".into(), json!("it's")),
        ("n".into(), json!(3)),
        ("big".into(), json!("'".repeat(200 << 10))),
    ]);
    let run = RunScope { id: "01J".into(), workflow: "w".into(), namespace: "default".into() };
    let item = json!({"name": "x", "list": [1, 2]});
    let world = World;
    use_it(&Scope {
        inputs: &inputs,
        tasks: &world,
        item: Some(("table", &item)),
        run: Some(&run),
        attempt: Some(2),
    })
}

/// `expected`: `true; what was used`, or the error's text.
#[track_caller]
fn check(expression: &str, expected: &str) {
    let result = with_scope(|scope| Engine::new().evaluate_condition(expression, scope));
    let shown = match result {
        Ok(Evaluated { value, used }) => format!("{value}; {used}"),
        Err(error) => error.to_string(),
    };
    assert_eq!(shown, expected, "{expression}");
}

#[track_caller]
fn check_render(template: &str, expected: &str) {
    let shown =
        with_scope(|scope| Engine::new().render(template, scope)).unwrap_or_else(|error| error.to_string());
    assert_eq!(shown, expected, "{template}");
}

#[test]
fn conditions() {
    check("inputs.region == 'eu'", "true; inputs.region = \"eu\"");
    check("tasks.check.outputs.ok and inputs.n > 5", "false; tasks.check.outputs.ok = true, inputs.n = 3");
    check("tasks['load-eu'].state == 'failed'", "false; tasks[\"load-eu\"].state = \"succeeded\"");
    check(
        "table.list.1 == 2 and tasks.check.outputs.rows[1].n == 2 and inputs.n is odd",
        "true; table.list[\"1\"] = 2, tasks.check.outputs.rows = [1,{\"n\":2}], inputs.n = 3",
    );
    check("tasks.check.outputs.none is defined", "false; tasks.check.outputs.none = not set");
    check("run.workflow ~ attempt == 'w2'", "true; run.workflow = \"w\", attempt = 2");
    check("true", "true; ");
    check("'x' in inputs.big", &format!("false; inputs.big = \"{}…", "'".repeat(79)));
}

#[test]
fn conditions_that_fail() {
    check("inputs.n", "the condition is 3, but true or false is needed");
    check("inputs.regoin", "inputs.regoin has no value");
    check("inputs.regoin.x == 1", "inputs.regoin.x has no value");
    check("tasks.nope.outputs.x == 1", "tasks.nope.outputs.x has no value");
    check("not other", "other has no value");
    check("1 +", "unexpected end of input, expected expression");
    check("a b", "unexpected input after expression");
    check("'a' | nope", "there is no filter \"nope\"");
    check("'a' is nope", "there is no test \"nope\"");
    check("'a' * 1000000", "the operator \"*\" is not available");
    check("'unclosed", "a text has no closing quote");
    check("1 / 0 == 1", "unable to calculate 1 / 0");
    check(
        &format!("{}1{} == 1", "(".repeat(500), ")".repeat(500)),
        "template exceeds maximum recursion limits",
    );
}

#[test]
fn templates() {
    check_render("plain {% x %} {# y #}", "plain {% x %} {# y #}");
    check_render("{{ inputs.region }}-{{ inputs.n + 1 }} {{ table.list }} {{ none }}", "eu-4 [1,2] null");
    check_render("run {{ inputs['day-part'] | quote }}", r"run 'it'\''s'");
    check_render("{{ '{{' }}{{ {'a': 1}|tojson }}", r#"{{{"a":1}"#);
    check_render("{{ [1, 'b', 2.5]|join(', ') }}", "1, b, 2.5");
    check_render("{{ 'a.b.c'|replace('.', '/')|upper }}", "A/B/C");
    check_render("{{ inputs.none | default('d') }}", "d");
}

#[test]
fn templates_that_fail() {
    check_render("{{ inputs.none }}", "inputs.none has no value");
    check_render("{{ inputs.n", "\"{{\" has no \"}}\"");
    check_render(&"{{ inputs.big }}".repeat(6), "the result is larger than 1024 KiB");
    check_render(
        "{{ inputs.big|replace(\"'\", inputs.big)|length }}",
        "a filter makes more than 1 MiB of text",
    );
    check_render("{{ inputs.big|list|join(inputs.big)|length }}", "a filter makes more than 1 MiB of text");
    check_render("{{ inputs.big|quote|quote|quote }}", "a filter makes more than 1 MiB of text");
}

#[test]
fn deep_expressions_end_without_overflow() {
    let deep = |open: &str, close: &str| {
        let times = EXPRESSION_BYTES_MAX / (open.len() + close.len()) - 8;
        format!("{}1{}", open.repeat(times), close.repeat(times))
    };
    for (open, close) in [
        ("(", ")"),
        ("[", "]"),
        ("{1:", "}"),
        ("not ", ""),
        ("-", ""),
        ("", ".a"),
        ("", "[0]"),
        ("", "|abs"),
        ("1+", ""),
        ("1 if 1 else ", ""),
        ("", " is odd"),
        ("", "(1)"),
        ("1 and ", ""),
        ("1~", ""),
        ("1<", ""),
    ] {
        let text = deep(open, close);
        let _ = with_scope(|scope| Engine::new().evaluate_condition(&text, scope));
    }
}
