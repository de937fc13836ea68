//! JSON Schemas of the files that users write, generated from the types that read them; committed under `policies/schemas/`.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};

/// Every schema: file name and text. Events and actors have CSV forms too; their schema is that of the TOML form.
pub fn all() -> Vec<(&'static str, String)> {
    vec![
        ("actors.json", text(of::<crate::actors::File>())),
        ("attack.json", text(of::<crate::attack::File>())),
        ("declaration.json", text(of::<crate::Declaration>())),
        ("events.json", text(of::<crate::events::File>())),
        ("persona.json", text(of::<crate::persona::File>())),
        ("policy.json", text(of::<crate::policy::File>())),
        ("profile.json", text(of::<crate::profile::File>())),
        ("requirements.json", text(of::<crate::requirement::File>())),
    ]
}

fn of<T: JsonSchema>() -> Schema {
    SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<T>()
}

fn text(schema: Schema) -> String {
    let mut out = serde_json::to_string_pretty(&schema.to_value()).unwrap_or_default();
    out.push('\n');
    out
}
