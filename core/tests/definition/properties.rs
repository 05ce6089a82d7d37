//! Whatever the bytes, reading ends with a definition or with faults that can be shown; what was read survives JSON.

use hortator_core::definition::{Definition, Invalid, canonical, draw, parse, render_all};
use proptest::prelude::*;

use super::good::FULL;

/// Reads, and does with the result everything that callers do.
fn exercise(bytes: &[u8]) -> Option<Definition> {
    match parse("any.yaml", bytes) {
        Ok(parsed) => {
            let json = canonical::to_json(&parsed.definition);
            assert_eq!(canonical::from_json(&json).expect("canonical JSON is read"), parsed.definition);
            assert!(!draw::ascii(&parsed.definition).is_empty());
            assert!(draw::dot(&parsed.definition).ends_with("}\n"));
            Some(parsed.definition)
        }
        Err(Invalid { diagnostics }) => {
            assert!(!diagnostics.is_empty());
            let text = String::from_utf8_lossy(bytes);
            assert!(render_all(&diagnostics, &text).contains("error[H2"));
            for one in &diagnostics {
                assert!(one.line >= 1 && one.column >= 1 && one.length >= 1, "{one:?}");
                let json = serde_json::to_string(one).expect("a diagnostic is JSON");
                assert_eq!(
                    &serde_json::from_str::<hortator_core::definition::Diagnostic>(&json).expect("and back"),
                    one
                );
            }
            None
        }
    }
}

/// One change to a text.
#[derive(Clone, Debug)]
enum Edit {
    Remove(usize, usize),
    Insert(usize, String),
    Copy(usize, usize, usize),
}

fn apply(text: &str, edits: &[Edit]) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    for edit in edits {
        let len = chars.len().max(1);
        match edit {
            Edit::Remove(at, count) => {
                drop(chars.drain((at % len).min(chars.len())..(at % len + count).min(chars.len())))
            }
            Edit::Insert(at, what) => {
                let at = (at % len).min(chars.len());
                drop(chars.splice(at..at, what.chars()));
            }
            Edit::Copy(from, count, to) => {
                let from = (from % len).min(chars.len());
                let part: Vec<char> = chars[from..(from + count).min(chars.len())].to_vec();
                let to = (to % len).min(chars.len());
                drop(chars.splice(to..to, part));
            }
        }
    }
    chars.into_iter().collect()
}

fn edit() -> impl Strategy<Value = Edit> {
    let words = "(: |- |\\[|\\]|\\{|\\}|,|\n  |\n|\t|\"|'|&a |\\*a|!!x |<<: |\\||>|#|null|1e9|\\{\\{|\\}\\}|tasks|inputs\\.|needs|é|🦀|\u{0}|---\n|%A)";
    prop_oneof![
        (any::<usize>(), 1..20usize).prop_map(|(at, count)| Edit::Remove(at, count)),
        (any::<usize>(), words).prop_map(|(at, what)| Edit::Insert(at, what)),
        (any::<usize>(), 1..80usize, any::<usize>())
            .prop_map(|(from, count, to)| Edit::Copy(from, count, to)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        exercise(&bytes);
    }

    #[test]
    fn random_text_never_panics(text in "[ -~\n\t:\\-\\[\\]{}&*!|>'\"%@`,#?é]{0,200}") {
        exercise(text.as_bytes());
    }

    #[test]
    fn edited_definitions_never_panic(edits in prop::collection::vec(edit(), 1..6)) {
        exercise(apply(FULL, &edits).as_bytes());
    }

    /// JSON made of the right keys and arbitrary values.
    #[test]
    fn random_values_never_panic(values in prop::collection::vec(value(), 12)) {
        let keys = ["needs", "shell", "env", "outputs", "foreach", "retry", "resources", "when", "timeout", "run_if", "group", "title"];
        let task: serde_json::Map<_, _> = keys.iter().map(|key| (*key).to_owned()).zip(values).collect();
        let file = serde_json::json!({"hortator": "v1", "name": "w", "tasks": [task, {"id": "a", "noop": {}}], "defaults": task});
        exercise(file.to_string().as_bytes());
    }

    #[test]
    fn canonical_json_is_the_identity(tasks in prop::collection::vec((0..5usize, any::<i64>(), "\\PC{1,20}", any::<f64>()), 1..20)) {
        let tasks: Vec<_> = tasks.into_iter().enumerate().map(|(at, (need, number, text, float))| serde_json::json!({
            "id": format!("t{at}"),
            "needs": if need < at { vec![format!("t{need}")] } else { vec![] },
            "shell": {"script": format!("x{text}")},
            "env": {"A": text.replace("{{", "")},
            "foreach": {"items": [number, if float.is_finite() { float } else { 0.0 }, {"k": [null, true]}]},
        })).collect();
        let file = serde_json::json!({"hortator": "v1", "name": "w", "tasks": tasks});
        let definition = exercise(file.to_string().as_bytes());
        prop_assert!(definition.is_some(), "{}", file);
    }
}

fn value() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        "[a-z0-9{} .%]{0,12}".prop_map(Into::into),
        prop_oneof![Just("a"), Just("1h"), Just("{{ inputs.x }}"), Just("bash"), Just("int")]
            .prop_map(Into::into),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        let key =
            prop_oneof![Just("script"), Just("max"), Just("slots"), Just("items"), Just("a"), Just("A")];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            prop::collection::btree_map(key, inner, 0..4).prop_map(|map| {
                map.into_iter()
                    .map(|(key, value)| (key.to_owned(), value))
                    .collect::<serde_json::Map<_, _>>()
                    .into()
            }),
        ]
    })
}
