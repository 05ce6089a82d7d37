//! Reasons as JSON: `{code, name, text, help, params}`, so that a client needs no catalogue of its own.
//! Must not know where the JSON goes.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::Reason;

#[derive(Serialize)]
struct Shown<'a> {
    code: &'a str,
    name: &'a str,
    text: String,
    help: String,
    params: Value,
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // The inherent function of the derive gives {name, params}.
        let mut tagged =
            Reason::serialize(self, serde_json::value::Serializer).map_err(serde::ser::Error::custom)?;
        let params = tagged["params"].take();
        let shown =
            Shown { code: self.code(), name: self.name(), text: self.text(), help: self.help(), params };
        shown.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Reason {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Reason, D::Error> {
        Reason::deserialize(deserializer)
    }
}
