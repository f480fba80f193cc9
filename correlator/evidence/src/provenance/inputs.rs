//! What went into a build: parameters and materials, as far as the bounds keep them.
//!
//! They are shown and asked about; nothing is judged by them. So what exceeds a bound is left out and counted, where a
//! field that is judged would be refused: provenance with a thousand materials is still provenance.

use std::collections::BTreeMap;

use correlator_core::facts::Material;
use serde_json::Value;

use crate::bounds::{MATERIALS_BYTES_MAX, MATERIALS_MAX, PARAMETERS_BYTES_MAX, PARAMETERS_MAX};

/// The inputs of one build, within their bounds.
#[derive(Debug, Default)]
pub(crate) struct Inputs {
    pub(crate) parameters: BTreeMap<String, String>,
    pub(crate) materials: Vec<Material>,
    pub(crate) left_out: u64,
    parameter_bytes: usize,
    material_bytes: usize,
}

impl Inputs {
    /// Takes each text, number and truth in `value`, by its JSON pointer (RFC 6901) below `place`.
    pub(super) fn take_parameters(&mut self, place: &str, value: &Value) {
        match value {
            Value::Null => {}
            Value::String(text) => self.take_parameter(place, text),
            Value::Bool(_) | Value::Number(_) => self.take_parameter(place, &value.to_string()),
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.take_parameters(&format!("{place}/{index}"), item);
                }
            }
            Value::Object(entries) => {
                for (key, item) in entries {
                    let token = key.replace('~', "~0").replace('/', "~1");
                    self.take_parameters(&format!("{place}/{token}"), item);
                }
            }
        }
    }

    fn take_parameter(&mut self, place: &str, text: &str) {
        let bytes = place.len() + text.len();
        let fits = self.parameters.len() < PARAMETERS_MAX
            && self.parameter_bytes.saturating_add(bytes) <= PARAMETERS_BYTES_MAX;
        if !fits {
            self.left_out += 1;
            return;
        }
        self.parameter_bytes += bytes;
        self.parameters.insert(place.to_owned(), text.to_owned());
    }

    /// Takes something that the build took in. Digests are a map of texts; others are none.
    pub(super) fn take_material(&mut self, uri: &str, digests: Option<&Value>) {
        let digests: BTreeMap<String, String> = digests
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .filter_map(|(algorithm, digest)| Some((algorithm.clone(), digest.as_str()?.to_owned())))
            .collect();
        let texts = digests.iter().map(|(algorithm, digest)| algorithm.len() + digest.len());
        let bytes = uri.len() + texts.sum::<usize>();
        let fits = self.materials.len() < MATERIALS_MAX
            && self.material_bytes.saturating_add(bytes) <= MATERIALS_BYTES_MAX;
        if !fits {
            self.left_out += 1;
            return;
        }
        self.material_bytes += bytes;
        self.materials.push(Material { uri: uri.to_owned(), digests });
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use serde_json::json;

    use super::*;

    #[test]
    fn parameters_are_kept_by_their_place() {
        let mut inputs = Inputs::default();
        inputs.take_parameters("", &json!({ "a": { "b/c": "x", "n": 7 }, "list": [true, null, "y"] }));
        let expected = [("/a/b~1c", "x"), ("/a/n", "7"), ("/list/0", "true"), ("/list/2", "y")];
        let expected = expected.map(|(place, text)| (place.to_owned(), text.to_owned()));
        assert_eq!((inputs.parameters, inputs.left_out), (expected.into(), 0));
    }

    #[test]
    fn what_exceeds_a_bound_is_left_out_and_counted() {
        let mut many = Inputs::default();
        many.take_parameters("", &json!(vec!["x"; PARAMETERS_MAX + 3]));
        assert_eq!((many.parameters.len(), many.left_out), (PARAMETERS_MAX, 3));
        let mut large = Inputs::default();
        large.take_parameters("", &json!(["x".repeat(PARAMETERS_BYTES_MAX), "small"]));
        assert_eq!((large.parameters.len(), large.left_out), (1, 1));

        let mut inputs = Inputs::default();
        for number in 0..MATERIALS_MAX + 2 {
            inputs.take_material(&format!("pkg:{number}"), Some(&json!({ "sha1": "aa", "odd": 7 })));
        }
        inputs.take_material(&"x".repeat(MATERIALS_BYTES_MAX + 1), None);
        assert_eq!((inputs.materials.len(), inputs.left_out), (MATERIALS_MAX, 3));
        assert_eq!(inputs.materials[0].digests, [("sha1".to_owned(), "aa".to_owned())].into());
    }
}
