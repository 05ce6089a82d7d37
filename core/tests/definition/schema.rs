//! The JSON Schema against the reader: what the one accepts structurally, the other does.

use hortator_core::definition::schema;
use serde_json::{Value, json};

/// Whether the value fits, for the keywords that our schema uses; an unknown keyword fails the test.
fn fits(schema: &Value, value: &Value) -> bool {
    let object = schema.as_object().expect("a schema is an object");
    object.iter().all(|(keyword, rule)| match keyword.as_str() {
        "$schema" | "title" | "description" => true,
        "type" => one_or_many(rule).iter().any(|name| is_of_type(value, name)),
        "const" => value == rule,
        "enum" => rule.as_array().is_some_and(|all| all.contains(value)),
        "required" => {
            value.as_object().is_none_or(|map| one_or_many(rule).iter().all(|key| map.contains_key(*key)))
        }
        "properties" => value.as_object().is_none_or(|map| {
            map.iter().all(|(key, value)| rule.get(key).is_none_or(|rule| fits(rule, value)))
        }),
        "additionalProperties" => value.as_object().is_none_or(|map| {
            let known = |key: &String| object.get("properties").is_some_and(|known| known.get(key).is_some());
            map.iter().filter(|(key, _)| !known(key)).all(|(_, value)| match rule {
                Value::Bool(allowed) => *allowed,
                rule => fits(rule, value),
            })
        }),
        "propertyNames" => value.as_object().is_none_or(|map| map.keys().all(|key| fits(rule, &json!(key)))),
        "items" => value.as_array().is_none_or(|list| list.iter().all(|value| fits(rule, value))),
        "minItems" => value.as_array().is_none_or(|list| list.len() as u64 >= rule.as_u64().unwrap_or(0)),
        "maxItems" => value.as_array().is_none_or(|list| list.len() as u64 <= rule.as_u64().unwrap_or(0)),
        "minLength" => value.as_str().is_none_or(|text| text.len() as u64 >= rule.as_u64().unwrap_or(0)),
        "minimum" => value.as_f64().is_none_or(|number| number >= rule.as_f64().unwrap_or(0.0)),
        "oneOf" => {
            rule.as_array().is_some_and(|all| all.iter().filter(|rule| fits(rule, value)).count() == 1)
        }
        "if" => !fits(rule, value) || fits(&object["then"], value),
        "then" => true,
        // Patterns are for editors; that they are not stricter than the reader shows in review.
        "pattern" => rule.is_string(),
        other => panic!("the schema uses {other}, which this test does not know"),
    })
}

fn one_or_many(rule: &Value) -> Vec<&str> {
    match rule {
        Value::Array(all) => all.iter().filter_map(Value::as_str).collect(),
        one => one.as_str().into_iter().collect(),
    }
}

fn is_of_type(value: &Value, name: &str) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64(),
        other => panic!("unknown type {other}"),
    }
}

fn example() -> Value {
    json!({
        "hortator": "v1", "name": "w", "labels": {"a": 1}, "concurrency": {"runs": 1, "when_full": "skip"},
        "inputs": [{"name": "x", "type": "enum", "values": ["a"], "default": "a"}],
        "schedules": [{"id": "s", "cron": "0 3 * * *", "timezone": "UTC", "catch_up": {"all": 5}, "overlap": "skip"},
                      {"id": "t", "every": "5m", "enabled": false, "catch_up": "none", "inputs": {"x": "a"}},
                      {"id": "u", "at": "2026-12-24T18:00:00Z"}],
        "defaults": {"timeout": "1h30m", "env": {"A": true}},
        "tasks": [
            {"id": "a", "noop": null},
            {"id": "b", "needs": ["a"], "shell": {"script": "x", "shell": "bash"}, "retry": {"max": 1, "jitter": "5%"},
             "outputs": {"n": "int"}, "when": true, "resources": {"slots": 2}, "foreach": {"items": [1, {}], "parallel": 1}},
        ],
    })
}

/// A key put at a JSON pointer, as `null` when it only removes one.
fn changed(pointer: &str, key: &str, value: Option<Value>) -> Value {
    let mut example = example();
    let map = example.pointer_mut(pointer).and_then(Value::as_object_mut).expect("an object");
    match value {
        Some(value) => drop(map.insert(key.into(), value)),
        None => drop(map.remove(key)),
    }
    example
}

#[test]
fn schema_and_reader_agree() {
    let schema = schema();
    let check = |file: Value, expected: bool| {
        let read = hortator_core::definition::parse("f", file.to_string().as_bytes());
        assert_eq!(read.is_ok(), expected, "reader: {file} {read:?}");
        assert_eq!(fits(&schema, &file), expected, "schema: {file}");
    };
    check(example(), true);
    for pointer in [
        "",
        "/inputs/0",
        "/defaults",
        "/concurrency",
        "/schedules/0",
        "/schedules/0/catch_up",
        "/tasks/0",
        "/tasks/1/shell",
        "/tasks/1/retry",
        "/tasks/1/foreach",
        "/tasks/1/resources",
    ] {
        check(changed(pointer, "unknown", Some(json!(1))), false);
    }
    for (pointer, key) in [
        ("", "hortator"),
        ("", "name"),
        ("", "tasks"),
        ("/tasks/0", "id"),
        ("/tasks/0", "noop"),
        ("/tasks/1/shell", "script"),
        ("/tasks/1/foreach", "items"),
        ("/schedules/0", "id"),
        ("/schedules/0", "cron"),
        ("/schedules/0", "timezone"),
        ("/inputs/0", "type"),
        ("/inputs/0", "values"),
    ] {
        check(changed(pointer, key, None), false);
    }
    for (pointer, key, value) in [
        ("", "tasks", json!([])),
        ("", "tasks", json!({})),
        ("", "title", json!(5)),
        ("", "priority", json!("urgent")),
        ("", "schedules", json!({})),
        ("/schedules/0", "every", json!("5m")),
        ("/schedules/0", "overlap", json!("parallel")),
        ("/schedules/0", "enabled", json!("yes")),
        ("/schedules/0", "catch_up", json!("some")),
        ("/schedules/0", "catch_up", json!({"all": 0})),
        ("/tasks/0", "shell", json!({"script": "x"})),
        ("/tasks/1/shell", "file", json!("x")),
        ("/tasks/1", "needs", json!("a")),
        ("/tasks/1", "timeout", json!(30)),
        ("/tasks/1", "env", json!({"A": null})),
        ("/tasks/1", "outputs", json!({"n": "number"})),
        ("/tasks/1/resources", "slots", json!(0)),
        ("/tasks/1/foreach", "items", json!([])),
        ("/tasks/1/foreach", "parallel", json!(0)),
        ("/concurrency", "runs", json!(0)),
    ] {
        check(changed(pointer, key, Some(value)), false);
    }
}

#[test]
fn every_key_is_described() {
    fn walk(schema: &Value, path: &str) {
        for (key, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            let about = property.get("description").and_then(Value::as_str).unwrap_or("");
            assert!(about.len() > 5 || path.contains("if"), "{path}/{key} has no description");
            walk(property, &format!("{path}/{key}"));
            if let Some(items) = property.get("items") {
                walk(items, &format!("{path}/{key}"));
            }
        }
    }
    walk(&schema(), "");
}
