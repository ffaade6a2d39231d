//! `poolbench check` on real servers.

use poolbench_tests::{Home, Stack};

fn scenario(stack: &Stack, sql: &str) -> String {
    format!(
        "name = \"check\"\n[targets.gateway]\nurl = \"{}\"\n[targets.pooler]\nconninfo = \"{}\"\n\
         console = \"{}\"\n[targets.postgres]\nconninfo = \"{}\"\n\
         [auth.login]\nquery = \"mutation L($u: String!, $p: String!) {{ login(username: $u, password: $p) {{ token }} }}\"\n\
         variables = {{ u = \"user1\", p = \"nova\" }}\ntoken = \"data.login.token\"\n\
         [[operations]]\nname = \"getUser\"\n\
         graphql = \"query GetUser($id: ID!) {{ user(id: $id) {{ id }} }}\"\n\
         variables = {{ id = {{ uniform = [1, 100] }} }}\n{sql}\n",
        stack.target("gateway_pooled"),
        stack.target("pooler"),
        stack.target("console"),
        stack.target("postgres"),
    )
}

#[test]
fn documents_and_statements_are_compared_with_the_servers() {
    let stack = Stack::small(&[]);
    let right = "sql = \"SELECT id FROM users WHERE id = $1\"\nparams = [\"id:int8\"]";
    let file = stack.home.write("right.toml", &scenario(&stack, right));
    for _ in 0..2 {
        // Again: a pooler's server connection must have kept nothing of the first time.
        let ended = stack.home.run(&["check", &file]);
        assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{ended:?}");
        for line in [
            "target gateway: 1 GraphQL operation fit",
            "target pooler: the login works",
            "target postgres: 1 SQL statement prepared",
            "can be run: 1 operation\n",
        ] {
            assert!(ended.stdout.contains(line), "{line} is missing in {}", ended.stdout);
        }
    }
    let wrong = "sql = \"SELECT id FROM usrs WHERE id = $1\"\nparams = [\"id:int8\"]";
    let text = scenario(&stack, wrong).replace("{ id }", "{ idd }");
    let file = stack.home.write("wrong.toml", &text);
    let ended = stack.home.run(&["check", &file]);
    assert_eq!((ended.code, ended.stdout.as_str()), (104, ""), "{ended:?}");
    for words in [
        "wrong.toml has 2 errors",
        "operation getUser: Cannot query field \"idd\" on type \"User\".",
        "operation getUser: Postgres says: relation \"usrs\" does not exist (SQLSTATE 42P01)",
        "wrong.toml:15:",
        "wrong.toml:17:",
    ] {
        assert!(ended.stderr.contains(words), "{words} is missing in {}", ended.stderr);
    }
    let ended = stack.home.run(&["check", "--offline", &file]);
    assert_eq!(ended.code, 0, "{ended:?}");
}

#[test]
fn a_listener_that_says_nothing_is_given_up() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let home = Home::new();
    let text = format!(
        "name = \"silent\"\n[targets.pooler]\nconninfo = \"host=127.0.0.1 port={port} user=nova\"\n\
         [[operations]]\nname = \"a\"\nsql = \"SELECT 1\"\n"
    );
    let file = home.write("silent.toml", &text);
    let ended = home.run(&["check", &file]);
    assert_eq!(ended.code, 104, "{ended:?}");
    assert!(ended.stderr.contains("can't be asked: no answer within"), "{ended:?}");
    assert!(ended.stderr.contains("--offline leaves the targets out"), "{ended:?}");
}
