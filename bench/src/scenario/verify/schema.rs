//! A gateway's schema from its introspection (GraphQL specification, October 2021, section 4).

use graphql_tools::parser::parse_schema;
use graphql_tools::static_graphql::schema::Document;
use serde_json::Value as Json;

/// What is asked; types may be wrapped as deep as the specification's own query asks.
pub(super) const INTROSPECTION: &str = "\
query Introspection {
  __schema {
    queryType { name } mutationType { name } subscriptionType { name }
    types {
      kind name
      fields(includeDeprecated: true) { name args { ...Input } type { ...Type } }
      inputFields { ...Input }
      interfaces { name }
      enumValues(includeDeprecated: true) { name }
      possibleTypes { name }
    }
    directives { name locations args { ...Input } }
  }
}
fragment Input on __InputValue { name type { ...Type } defaultValue }
fragment Type on __Type {
  kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name ofType {
    kind name ofType { kind name ofType { kind name } } } } } } }
}";

/// The schema that a reply to [`INTROSPECTION`] tells.
pub(super) fn read(reply: &Json) -> Result<Document, String> {
    let schema = reply.pointer("/data/__schema").filter(|schema| schema.is_object());
    let Some(schema) = schema else {
        let message = reply.pointer("/errors/0/message").and_then(Json::as_str);
        return Err(message.unwrap_or("the reply has no schema").to_owned());
    };
    parse_schema::<String>(&sdl(schema))
        .map(graphql_tools::parser::schema::Document::into_static)
        .map_err(|error| format!("its schema can't be read: {error}"))
}

/// In the schema definition language (section 3).
fn sdl(schema: &Json) -> String {
    let mut sdl = "schema {".to_owned();
    for (root, key) in
        [("query", "queryType"), ("mutation", "mutationType"), ("subscription", "subscriptionType")]
    {
        if let Some(name) = schema[key]["name"].as_str() {
            sdl += &format!(" {root}: {name}");
        }
    }
    sdl += " }\n";
    for ty in items(&schema["types"]) {
        let name = text(&ty["name"]);
        if !name.starts_with("__") {
            sdl += &definition(ty, name);
        }
    }
    for directive in items(&schema["directives"]) {
        let locations: Vec<_> = items(&directive["locations"]).map(text).collect();
        let (name, args) = (text(&directive["name"]), arguments(&directive["args"]));
        sdl += &format!("directive @{name}{args} on {}\n", locations.join(" | "));
    }
    sdl
}

fn definition(ty: &Json, name: &str) -> String {
    let names = |key: &str| items(&ty[key]).map(|ty| text(&ty["name"])).collect::<Vec<_>>();
    let fields = || {
        let field = |field: &Json| {
            let args = arguments(&field["args"]);
            format!("  {}{args}: {}\n", text(&field["name"]), type_of(&field["type"]))
        };
        items(&ty["fields"]).map(field).collect::<String>()
    };
    let implements = match names("interfaces") {
        none if none.is_empty() => String::new(),
        interfaces => format!(" implements {}", interfaces.join(" & ")),
    };
    match text(&ty["kind"]) {
        "OBJECT" => format!("type {name}{implements} {{\n{}}}\n", fields()),
        "INTERFACE" => format!("interface {name}{implements} {{\n{}}}\n", fields()),
        "UNION" => format!("union {name} = {}\n", names("possibleTypes").join(" | ")),
        "ENUM" => format!("enum {name} {{ {} }}\n", names("enumValues").join(" ")),
        "INPUT_OBJECT" => {
            let fields = items(&ty["inputFields"]).map(|field| format!("  {}\n", input(field)));
            format!("input {name} {{\n{}}}\n", fields.collect::<String>())
        }
        _ => format!("scalar {name}\n"),
    }
}

fn arguments(args: &Json) -> String {
    let args: Vec<_> = items(args).map(input).collect();
    if args.is_empty() { String::new() } else { format!("({})", args.join(", ")) }
}

fn input(value: &Json) -> String {
    let default = value["defaultValue"].as_str().map(|default| format!(" = {default}"));
    let (name, ty) = (text(&value["name"]), type_of(&value["type"]));
    format!("{name}: {ty}{}", default.unwrap_or_default())
}

fn type_of(ty: &Json) -> String {
    match text(&ty["kind"]) {
        "NON_NULL" => format!("{}!", type_of(&ty["ofType"])),
        "LIST" => format!("[{}]", type_of(&ty["ofType"])),
        _ => text(&ty["name"]).to_owned(),
    }
}

fn items(list: &Json) -> impl Iterator<Item = &Json> {
    list.as_array().map(Vec::as_slice).unwrap_or_default().iter()
}

fn text(value: &Json) -> &str {
    value.as_str().unwrap_or_default()
}
