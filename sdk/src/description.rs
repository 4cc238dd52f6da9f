//! What a package says of itself: its functions with their documentation, schemas and wishes.

use std::panic::{AssertUnwindSafe, catch_unwind};

use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::{
    arguments::Arguments,
    function::{Descriptor, FUNCTIONS, Limits, Task},
    panics,
};

/// The answer of a plugin's `describe`, as JSON.
#[derive(Debug, Serialize)]
pub(crate) struct PackageDescription {
    /// [`bulkhead_abi::ABI_VERSION`].
    pub(crate) abi_version: u32,
    /// The version of this crate.
    pub(crate) sdk_version: &'static str,
    /// In the order of their indexes.
    pub(crate) functions: Vec<FunctionDescription>,
    /// Why the package cannot be used, when it cannot: two functions of one name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
}

/// One function of a package. What the author did not set is absent from the JSON.
#[derive(Debug, Serialize)]
pub(crate) struct FunctionDescription {
    /// The name by which callers know it.
    pub(crate) name: &'static str,
    /// Its doc comment, in Markdown.
    pub(crate) doc: &'static str,
    /// Its arguments, by position.
    pub(crate) parameters: Vec<ParameterDescription>,
    /// The JSON Schema (2020-12) of the object of arguments.
    pub(crate) input_schema: Value,
    /// The JSON Schema (2020-12) of the result.
    pub(crate) output_schema: Value,
    /// Limits that the author chose.
    pub(crate) limits: Limits,
    /// `fresh`, `reuse` or `exec`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) isolation: Option<&'static str>,
    /// Whether it asks for the network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) network: Option<bool>,
    /// Whether it asks to start processes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) processes: Option<bool>,
    /// Whether it asks for memory that is both written and executed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) jit: Option<bool>,
}

/// One argument of a function.
#[derive(Debug, Serialize)]
pub(crate) struct ParameterDescription {
    /// Its name.
    pub(crate) name: &'static str,
    /// Its JSON Schema, complete in itself.
    pub(crate) schema: Value,
    /// Whether it has to be given.
    pub(crate) required: bool,
}

/// Describes every function of this library.
pub(crate) fn describe() -> PackageDescription {
    let described: Result<Vec<_>, String> = FUNCTIONS.iter().map(describe_function).collect();
    let (functions, fault) = match described {
        Ok(functions) => (functions, duplicate(&FUNCTIONS)),
        Err(fault) => (Vec::new(), Some(fault)),
    };
    PackageDescription {
        abi_version: bulkhead_abi::ABI_VERSION,
        sdk_version: env!("CARGO_PKG_VERSION"),
        functions,
        error: fault,
    }
}

/// The complaint about the first two functions that share a name.
pub(crate) fn duplicate(functions: &[Descriptor]) -> Option<String> {
    functions.iter().enumerate().find_map(|(index, one)| {
        let other = functions[..index].iter().find(|other| other.declaration.name == one.declaration.name)?;
        Some(format!(
            "two functions are named `{}`: {} and {}; give one another name with \
             `#[bulkhead::function(name = \"…\")]`",
            one.declaration.name, other.declaration.location, one.declaration.location
        ))
    })
}

fn describe_function(descriptor: &Descriptor) -> Result<FunctionDescription, String> {
    panics::install_hook();
    let declaration = &descriptor.declaration;
    let mut describe = Describe::new(declaration.parameters);
    // Schemas of hand-written types are code of the author's.
    catch_unwind(AssertUnwindSafe(|| {
        (descriptor.entry)(Task::Describe(&mut describe));
    }))
    .map_err(|payload| {
        let (message, location) = panics::message_and_location(payload);
        format!("the schema of `{}` panicked at {location}: {message}", declaration.name)
    })?;
    Ok(FunctionDescription {
        name: declaration.name,
        doc: declaration.documentation,
        parameters: describe.parameters,
        input_schema: describe.input_schema,
        output_schema: describe.output_schema,
        limits: declaration.limits,
        isolation: declaration.isolation,
        network: declaration.network,
        processes: declaration.processes,
        jit: declaration.jit,
    })
}

/// Collects the schemas of one function.
#[derive(Debug)]
pub struct Describe {
    names: &'static [&'static str],
    parameters: Vec<ParameterDescription>,
    input_schema: Value,
    output_schema: Value,
}

impl Describe {
    fn new(names: &'static [&'static str]) -> Self {
        Self { names, parameters: Vec::new(), input_schema: Value::Null, output_schema: Value::Null }
    }

    /// Takes the schemas of a function from its types.
    pub(crate) fn types<A: Arguments, O: JsonSchema>(&mut self) {
        let mut input = generator(SchemaSettings::for_deserialize);
        let mut properties = Map::new();
        let mut required = Vec::new();
        let mut names = self.names.iter();
        A::schemas(&mut |schema, must_be_given| {
            let Some(&name) = names.next() else { return };
            properties.insert(name.to_owned(), schema(&mut input).into());
            if must_be_given {
                required.push(name);
            }
            let mut alone = generator(SchemaSettings::for_deserialize);
            let schema = schema(&mut alone);
            self.parameters.push(ParameterDescription {
                name,
                schema: with_definitions(schema.into(), &mut alone),
                required: must_be_given,
            });
        });
        let object = json!({
            "type": "object",
            "properties": properties,
            "required": required,
            "additionalProperties": false,
        });
        self.input_schema = with_definitions(object, &mut input);

        let mut output = generator(SchemaSettings::for_serialize);
        let schema: Schema = output.subschema_for::<O>();
        self.output_schema = with_definitions(schema.into(), &mut output);
    }
}

fn generator(contract: fn(SchemaSettings) -> SchemaSettings) -> SchemaGenerator {
    contract(SchemaSettings::draft2020_12()).into_generator()
}

/// Puts the types that a schema refers to beside it, where `#/$defs/…` finds them.
fn with_definitions(mut schema: Value, generator: &mut SchemaGenerator) -> Value {
    let definitions = generator.take_definitions(true);
    if let (Some(object), false) = (schema.as_object_mut(), definitions.is_empty()) {
        object.insert("$defs".to_owned(), definitions.into());
    }
    schema
}
