//! Documents and variables against the gateway's schema.

use graphql_tools::parser::parse_query;
use graphql_tools::static_graphql::query::{
    Definition, Document as QueryDocument, OperationDefinition, Type, VariableDefinition,
};
use graphql_tools::static_graphql::schema::{Document, TypeDefinition};
use graphql_tools::validation::rules::default_rules_validation_plan;
use graphql_tools::validation::validate::validate;
use serde_json::{Value as Json, json};

use super::super::mistake::{Mistake, Place, suggest};
use super::super::operation::OperationFile;
use super::super::variables::{Input, Variable};
use super::{OFFLINE, Scenario, TargetFile, auth, counted, mistake_in, schema, value};

/// Asks a gateway for its schema and compares every operation with it. Gives a line about it.
pub(super) fn ask(scenario: &Scenario, target: &TargetFile, mistakes: &mut Vec<Mistake>) -> String {
    let url = target.url.as_deref().unwrap_or_default();
    let token = match auth::token(scenario, url) {
        Ok(token) => token,
        Err(error) => {
            mistakes.push(target.mistake("url", error.to_string()).help(OFFLINE));
            return String::new();
        }
    };
    let body = json!({ "query": schema::INTROSPECTION });
    let reply = match auth::post(url, token.as_deref(), &body) {
        Ok(reply) => reply,
        Err(problem) => {
            let message = format!("{url} does not answer: {problem}");
            mistakes.push(target.mistake("url", message).help(OFFLINE));
            return String::new();
        }
    };
    let schema = match schema::read(&reply) {
        Ok(schema) => schema,
        Err(problem) => {
            let message = format!("{url} does not tell its schema: {problem}");
            let help = "check [auth], or switch introspection on; --offline leaves the targets out";
            mistakes.push(target.mistake("url", message).help(help));
            return String::new();
        }
    };
    let operations = scenario.operations.iter().filter(|operation| operation.graphql.is_some());
    let count = operations.clone().count();
    operations.for_each(|operation| compare(operation, &schema, mistakes));
    format!("{} fit its schema", counted(count, "GraphQL operation"))
}

/// Compares one operation with the schema.
pub(super) fn compare(operation: &OperationFile, schema: &Document, mistakes: &mut Vec<Mistake>) {
    let (Some(text), Some(node)) = (&operation.graphql, &operation.graphql_node) else { return };
    let Ok(document) = parse_query::<String>(text) else { return };
    let document = document.into_static();
    let before = mistakes.len();
    for error in validate(schema, &document, &default_rules_validation_plan()) {
        let at = error.locations.first().map_or((1, 1), |at| (at.line, at.column));
        let message = format!("operation {}: {}", operation.name, error.message);
        mistakes.push(mistake_in(node, at.0, at.1, message));
    }
    if mistakes.len() > before {
        return;
    }
    let comparison = Comparison { operation, schema };
    let variables = &operation.variables.graphql;
    let declared = declared(&document);
    for definition in declared {
        let given = variables.iter().find(|variable| variable.name == definition.name);
        match given {
            Some(variable) => mistakes.extend(comparison.input(
                &variable.input,
                &definition.var_type,
                &variable.name,
                &variable.place,
            )),
            None if is_required(&definition.var_type) && definition.default_value.is_none() => {
                let (name, ty) = (&definition.name, &definition.var_type);
                let message = format!("operation {}: ${name} has no value", operation.name);
                let help = format!("add `{name}`, a {ty}, to `variables`");
                let at = definition.position;
                mistakes.push(mistake_in(node, at.line, at.column, message).help(help));
            }
            None => {}
        }
    }
    for variable in variables {
        if !declared.iter().any(|definition| definition.name == variable.name) {
            let message =
                format!("operation {}: its document has no ${}", operation.name, variable.name);
            let help = suggest(&variable.name, declared.iter().map(|known| known.name.as_str()));
            mistakes.push(Mistake::error(&variable.place, message).help(help));
        }
    }
}

/// The variables of a document's first operation: the one that is executed.
fn declared(document: &QueryDocument) -> &[VariableDefinition] {
    let operation = document.definitions.iter().find_map(|definition| match definition {
        Definition::Operation(operation) => Some(operation),
        Definition::Fragment(_) => None,
    });
    match operation {
        Some(OperationDefinition::Query(query)) => &query.variable_definitions,
        Some(OperationDefinition::Mutation(mutation)) => &mutation.variable_definitions,
        Some(OperationDefinition::Subscription(other)) => &other.variable_definitions,
        Some(OperationDefinition::SelectionSet(_)) | None => &[],
    }
}

fn is_required(ty: &Type) -> bool {
    matches!(ty, Type::NonNullType(_))
}

/// One operation's values against the types of the schema (section 3.10, "Input Coercion").
struct Comparison<'a> {
    operation: &'a OperationFile,
    schema: &'a Document,
}

impl Comparison<'_> {
    fn wrong(&self, path: &str, place: &Place, what: &str, ty: &Type) -> Mistake {
        let message = format!(
            "operation {}: `{path}` is {what}, and the schema wants {ty}",
            self.operation.name
        );
        Mistake::error(place, message)
    }

    fn definition(&self, name: &str) -> Option<&TypeDefinition> {
        use graphql_tools::static_graphql::schema::{Definition, Document};
        let Document { definitions } = self.schema;
        definitions.iter().find_map(|definition| match definition {
            Definition::TypeDefinition(definition) if type_name(definition) == name => {
                Some(definition)
            }
            _ => None,
        })
    }

    fn input(&self, input: &Input, ty: &Type, path: &str, place: &Place) -> Vec<Mistake> {
        match (input, ty) {
            (_, Type::NonNullType(inner)) => self.input(input, inner, path, place),
            (Input::Constant(json), _) => self.constant(json, ty, path, place),
            // A single value is a list of one.
            (_, Type::ListType(inner)) => self.input(input, inner, path, place),
            (Input::Hole(hole), Type::NamedType(name)) => {
                let generator = &self.operation.variables.generators[*hole];
                let fits = match name.as_str() {
                    "Int" => !value::is_text(generator) && is_int(generator),
                    "Float" => !value::is_text(generator) && value::is_number(generator),
                    "String" => value::is_text(generator),
                    "Boolean" => value::is_boolean(generator),
                    "ID" => value::is_text(generator) || value::is_integer(generator, ANY),
                    name => match self.definition(name) {
                        Some(TypeDefinition::Enum(words)) => {
                            let is_known =
                                |text: &&str| words.values.iter().any(|word| word.name == *text);
                            let texts = value::texts(generator);
                            !texts.is_empty() && texts.iter().all(is_known)
                        }
                        Some(TypeDefinition::InputObject(_)) => false,
                        // The gateway alone knows what a scalar of its own takes.
                        _ => true,
                    },
                };
                let what = || value::describe(generator);
                if fits { Vec::new() } else { vec![self.wrong(path, place, &what(), ty)] }
            }
            (Input::Object(given), Type::NamedType(name)) => match self.definition(name) {
                Some(TypeDefinition::InputObject(object)) => {
                    let mut mistakes = Vec::new();
                    for field in &object.fields {
                        let own = given.iter().find(|variable| variable.name == field.name);
                        match own {
                            Some(Variable { input, place, name }) => {
                                let path = format!("{path}.{name}");
                                mistakes.extend(self.input(input, &field.value_type, &path, place));
                            }
                            None if is_required(&field.value_type)
                                && field.default_value.is_none() =>
                            {
                                let (name, ty) = (&field.name, &field.value_type);
                                let message = format!(
                                    "operation {}: `{path}` has no `{name}`, which the schema wants: {ty}",
                                    self.operation.name
                                );
                                mistakes.push(Mistake::error(place, message));
                            }
                            None => {}
                        }
                    }
                    let known = || object.fields.iter().map(|field| field.name.as_str());
                    for variable in given.iter().filter(|own| !known().any(|name| name == own.name))
                    {
                        let message = format!(
                            "operation {}: the schema's {name} has no `{}`",
                            self.operation.name, variable.name
                        );
                        let help = suggest(&variable.name, known());
                        mistakes.push(Mistake::error(&variable.place, message).help(help));
                    }
                    mistakes
                }
                Some(TypeDefinition::Scalar(_)) => Vec::new(),
                _ => vec![self.wrong(path, place, "an object", ty)],
            },
        }
    }

    fn constant(&self, json: &Json, ty: &Type, path: &str, place: &Place) -> Vec<Mistake> {
        match (json, ty) {
            (_, Type::NonNullType(inner)) => self.constant(json, inner, path, place),
            (Json::Array(items), Type::ListType(inner)) => items
                .iter()
                .enumerate()
                .flat_map(|(index, item)| {
                    self.constant(item, inner, &format!("{path}.{index}"), place)
                })
                .collect(),
            (_, Type::ListType(inner)) => self.constant(json, inner, path, place),
            (Json::Object(entries), Type::NamedType(name)) => match self.definition(name) {
                Some(TypeDefinition::InputObject(_)) => {
                    let variable = |(name, json): (&String, &Json)| Variable {
                        name: name.clone(),
                        place: place.clone(),
                        input: Input::Constant(json.clone()),
                    };
                    let given = entries.iter().map(variable).collect();
                    self.input(&Input::Object(given), ty, path, place)
                }
                Some(TypeDefinition::Scalar(_)) => Vec::new(),
                _ => vec![self.wrong(path, place, "an object", ty)],
            },
            (_, Type::NamedType(name)) => {
                let fits = match (name.as_str(), json) {
                    ("Int", Json::Number(number)) => {
                        number.as_i64().is_some_and(|number| i32::try_from(number).is_ok())
                    }
                    ("Float", Json::Number(_)) | ("Boolean", Json::Bool(_)) => true,
                    ("ID", Json::Number(number)) => number.is_i64(),
                    ("String" | "ID", Json::String(_)) => true,
                    ("Int" | "Float" | "Boolean" | "ID" | "String", _) => false,
                    (name, json) => match self.definition(name) {
                        Some(TypeDefinition::Enum(words)) => {
                            words.values.iter().any(|word| json.as_str() == Some(&word.name))
                        }
                        Some(TypeDefinition::InputObject(_)) => false,
                        _ => true,
                    },
                };
                let what = || json.to_string();
                if fits { Vec::new() } else { vec![self.wrong(path, place, &what(), ty)] }
            }
        }
    }
}

const ANY: (i64, i64) = (i64::MIN, i64::MAX);

/// GraphQL's Int has 32 bits (section 3.5.1).
fn is_int(generator: &engine::Generator) -> bool {
    value::is_integer(generator, (i32::MIN.into(), i32::MAX.into()))
}

fn type_name(definition: &TypeDefinition) -> &str {
    match definition {
        TypeDefinition::Scalar(other) => &other.name,
        TypeDefinition::Object(other) => &other.name,
        TypeDefinition::Interface(other) => &other.name,
        TypeDefinition::Union(other) => &other.name,
        TypeDefinition::Enum(other) => &other.name,
        TypeDefinition::InputObject(other) => &other.name,
    }
}
