//! The JSON Schema of the format, for editors: made from the vocabulary, so that it cannot name other keys.
//! Must not know what only a reader can check: references, circles, templates.

use serde_json::{Map, Value, json};

use super::vocabulary::{
    BACKOFFS, CATCH_UP_ALL, CATCH_UPS, CONCURRENCY, DEFAULTS, DELIVERIES, FOREACH, INPUT, INPUT_TYPES, LIMIT,
    NOOP, ON_FAILURES, OVERLAPS, PLACE, PRIORITIES, RESOURCES, RETRY, RUN_IFS, Record, SCHEDULE, SHELL, TASK,
    VALUE_TYPES, WHEN_FULLS, WORKFLOW,
};

use crate::dispatch::REQUESTS_MAX;
use crate::limit::LIMITS_MAX;

const NAME: &str = "^[a-z][a-z0-9-]{0,62}$";
const IDENTIFIER: &str = "^[A-Za-z_][A-Za-z0-9_]{0,62}$";
const DURATION: &str = "^([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?([0-9]+us)?$";

/// The schema of a definition, draft 2020-12. Every definition that `parse` accepts fits it, and unknown keys do not.
pub fn schema() -> Value {
    let mut schema = record(&WORKFLOW, &["hortator", "name", "tasks"], workflow_key);
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!("Hortator workflow, version 1");
    schema
}

/// The object of a record: `shape` gives each key's schema.
fn record(record: &Record, required: &[&str], shape: fn(&str) -> Value) -> Value {
    let mut properties = Map::new();
    for (key, about) in record.keys {
        let mut property = shape(key);
        property["description"] = json!(about);
        properties.insert((*key).into(), property);
    }
    json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
}

fn workflow_key(key: &str) -> Value {
    match key {
        "hortator" => json!({"const": "v1"}),
        "name" | "namespace" => name(),
        "labels" => map_of("^[\\s\\S]+$", written()),
        "inputs" => list_of(input()),
        "defaults" => record(&DEFAULTS, &[], task_key),
        "priority" => one_of(PRIORITIES),
        "on_failure" => one_of(ON_FAILURES),
        "concurrency" => record(&CONCURRENCY, &[], concurrency_key),
        "schedules" => list_of(schedule()),
        "tasks" => {
            let mut tasks = list_of(task());
            tasks["minItems"] = json!(1);
            tasks["maxItems"] = json!(super::TASKS_MAX);
            tasks
        }
        _ => text(),
    }
}

fn input() -> Value {
    let mut input = record(&INPUT, &["name", "type"], |key| match key {
        "name" => name(),
        "type" => one_of(INPUT_TYPES),
        "default" => json!({"type": ["string", "number", "boolean"]}),
        "values" => list_of(text()),
        _ => text(),
    });
    input["if"] = json!({"properties": {"type": {"const": "enum"}}});
    input["then"] = json!({"required": ["values"]});
    input
}

fn concurrency_key(key: &str) -> Value {
    match key {
        "runs" => whole(1),
        _ => one_of(WHEN_FULLS),
    }
}

fn schedule() -> Value {
    let mut schedule = record(&SCHEDULE, &["id"], |key| match key {
        "id" => name(),
        "every" => duration(),
        "catch_up" => {
            json!({"oneOf": [one_of(CATCH_UPS), record(&CATCH_UP_ALL, &["all"], |_| whole(1))]})
        }
        "overlap" => one_of(OVERLAPS),
        "enabled" => json!({"type": "boolean"}),
        "inputs" => map_of(NAME, json!({"type": ["string", "number", "boolean"]})),
        _ => text(),
    });
    schedule["oneOf"] =
        json!([{"required": ["cron", "timezone"]}, {"required": ["every"]}, {"required": ["at"]}]);
    schedule
}

fn task() -> Value {
    let mut task = record(&TASK, &["id"], task_key);
    task["oneOf"] = json!([{"required": ["shell"]}, {"required": ["noop"]}]);
    task
}

fn task_key(key: &str) -> Value {
    match key {
        "id" | "group" => name(),
        "needs" => list_of(name()),
        "shell" => shell(),
        "noop" => {
            let mut noop = record(&NOOP, &[], |_| text());
            noop["type"] = json!(["object", "null"]);
            noop
        }
        "priority" => one_of(PRIORITIES),
        "resources" => {
            let request = record(&RESOURCES, &[], resource_key);
            json!({"oneOf": [request, {"type": "array", "items": request, "minItems": 1, "maxItems": REQUESTS_MAX}]})
        }
        "place" => record(&PLACE, &[], place_key),
        "limits" => {
            let long = record(&LIMIT, &["key"], |key| if key == "key" { name() } else { whole(1) });
            let mut limits = list_of(json!({"oneOf": [name(), long]}));
            limits["maxItems"] = json!(LIMITS_MAX);
            limits
        }
        "retry" => record(&RETRY, &[], retry_key),
        "timeout" => duration(),
        "run_if" => one_of(RUN_IFS),
        "delivery" => one_of(DELIVERIES),
        "when" => json!({"type": ["string", "boolean"]}),
        "env" => map_of(IDENTIFIER, written()),
        "outputs" => map_of(IDENTIFIER, one_of(VALUE_TYPES)),
        "foreach" => record(&FOREACH, &["items"], foreach_key),
        _ => text(),
    }
}

fn shell() -> Value {
    let mut shell = record(&SHELL, &[], |_| text());
    shell["oneOf"] = json!([{"required": ["script"]}, {"required": ["file"]}]);
    shell
}

fn resource_key(key: &str) -> Value {
    match key {
        "cpu" => json!({"type": ["number", "string"]}),
        "memory" | "disk" => json!({"type": "string", "pattern": "^[0-9.]+ *[MGT]iB$"}),
        "named" => map_of(NAME, whole(1)),
        _ => whole(1),
    }
}

fn place_key(key: &str) -> Value {
    match key {
        "has" | "spread" => json!({"oneOf": [name(), list_of(name())]}),
        "zone" => text(),
        "zone_wait" => duration(),
        _ => map_of(NAME, json!({"oneOf": [written(), list_of(written())]})),
    }
}

fn retry_key(key: &str) -> Value {
    match key {
        "max" => whole(0),
        "backoff" => one_of(BACKOFFS),
        "jitter" => json!({"type": "string", "pattern": "^[0-9]{1,3} *%$"}),
        _ => duration(),
    }
}

fn foreach_key(key: &str) -> Value {
    match key {
        "items" => json!({"type": "array", "minItems": 1}),
        "parallel" => whole(1),
        _ => json!({"type": "string", "pattern": IDENTIFIER}),
    }
}

fn text() -> Value {
    json!({"type": "string"})
}

/// What becomes text as it is written.
fn written() -> Value {
    json!({"type": ["string", "number", "boolean"]})
}

fn name() -> Value {
    json!({"type": "string", "pattern": NAME})
}

fn duration() -> Value {
    json!({"type": "string", "pattern": DURATION, "minLength": 2})
}

fn whole(least: u32) -> Value {
    json!({"type": "integer", "minimum": least})
}

fn list_of(items: Value) -> Value {
    json!({"type": "array", "items": items})
}

fn map_of(keys: &str, values: Value) -> Value {
    json!({"type": "object", "propertyNames": {"pattern": keys}, "additionalProperties": values})
}

fn one_of<T>(words: &[(&str, T)]) -> Value {
    json!({"enum": words.iter().map(|(word, _)| *word).collect::<Vec<_>>()})
}
