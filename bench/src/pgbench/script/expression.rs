//! The grammar of pgbench's expressions, with Postgres' precedences (exprparse.y).

use std::cell::Cell;

use engine::pgbench::{ARGUMENTS_MAX, Expression, Function, Value};
use winnow::Parser;
use winnow::ascii::digit1;
use winnow::combinator::{
    Infix, Postfix, Prefix, alt, delimited, expression, fail, not, opt, peek, preceded, repeat,
    separated,
};
use winnow::error::ParserError;
use winnow::stream::{LocatingSlice, Location, Stateful, Stream};
use winnow::token::{literal, one_of, take_while};

use super::{Names, Problem, is_space};

/// What variables are called, and how many operators and operands there were.
#[derive(Debug)]
struct State<'a> {
    names: &'a Names,
    parts: &'a Cell<usize>,
}

type Input<'a> = Stateful<LocatingSlice<&'a str>, State<'a>>;

/// An expression may have so many operands and operators with one: reading and evaluating it take
/// stack for each.
const PARTS_MAX: usize = 500;

/// Binding powers, as Postgres has them. A prefix operator takes what binds at least so tightly.
mod power {
    pub(super) const OR: i64 = 2;
    pub(super) const AND: i64 = 4;
    pub(super) const NOT: i64 = 6;
    pub(super) const IS: i64 = 8;
    pub(super) const COMPARE: i64 = 10;
    pub(super) const BITS: i64 = 12;
    /// Of `~`: the other operators of its level end its operand.
    pub(super) const COMPLEMENT: i64 = 13;
    pub(super) const ADD: i64 = 14;
    pub(super) const MULTIPLY: i64 = 16;
    pub(super) const SIGN: i64 = 18;
}

/// Reads all of `text`; the offset of a problem is one in `text`.
pub(super) fn read(text: &str, names: &Names) -> Result<Expression, Problem> {
    let text = text.trim_end();
    let parts = Cell::new(0);
    let state = State { names, parts: &parts };
    let mut input = Stateful { input: LocatingSlice::new(text), state };
    let result = whole.parse_next(&mut input)?;
    space.parse_next(&mut input)?;
    if input.eof_offset() > 0 {
        let rest: &str = input.input.as_ref();
        let problem = Problem::from_input(&input);
        return Err(if rest.starts_with(['<', '>', '=', '!']) {
            let message = "comparisons have no order among one another: put brackets around one";
            Problem::new(problem.at, format!("{}: {message}", problem.message))
        } else {
            problem.expecting("an operator or the end of the line")
        });
    }
    Ok(result)
}

impl<'a> ParserError<Input<'a>> for Problem {
    type Inner = Self;

    fn from_input(input: &Input<'a>) -> Self {
        let at = input.current_token_start();
        let rest: &str = input.input.as_ref();
        let message = match rest.split_whitespace().next() {
            Some(word) => format!("syntax error at {word:?}"),
            None => "syntax error: the expression is not complete".into(),
        };
        Self { at, message, is_final: false }
    }

    fn or(self, other: Self) -> Self {
        if other.at >= self.at { other } else { self }
    }

    fn is_backtrack(&self) -> bool {
        !self.is_final
    }

    fn into_inner(self) -> Result<Self, Self> {
        Ok(self)
    }
}

fn space(input: &mut Input<'_>) -> Result<(), Problem> {
    let continued = (literal("\\"), opt(literal("\r")), literal("\n")).void();
    repeat(0.., alt((take_while(1.., is_space).void(), continued))).parse_next(input)
}

/// A sign, with the space before it.
fn sign<'a>(text: &'static str) -> impl Parser<Input<'a>, (), Problem> {
    preceded(space, literal(text)).void()
}

fn name<'a>(input: &mut Input<'a>) -> Result<&'a str, Problem> {
    let is_first = |c: char| c.is_ascii_alphabetic() || c == '_' || !c.is_ascii();
    let is_more = move |c: char| is_first(c) || c.is_ascii_digit();
    (one_of(is_first), take_while(0.., is_more)).take().parse_next(input)
}

/// A key word, in any case, with the space before it.
fn word<'a>(wanted: &'static str) -> impl Parser<Input<'a>, (), Problem> {
    preceded(space, name.verify(move |found: &str| found.eq_ignore_ascii_case(wanted))).void()
}

fn whole(input: &mut Input<'_>) -> Result<Expression, Problem> {
    expression(preceded(space, operand))
        .prefix(preceded(space, prefix))
        .postfix(preceded(space, postfix))
        .infix(preceded(space, infix))
        .parse_next(input)
}

fn count(input: &Input<'_>) -> Result<(), Problem> {
    let parts = input.state.parts;
    parts.set(parts.get() + 1);
    match parts.get() > PARTS_MAX {
        true => {
            let message =
                format!("an expression can have {PARTS_MAX} operands and operators at most");
            Err(Problem::new(input.current_token_start(), message))
        }
        false => Ok(()),
    }
}

fn call<const N: usize>(function: Function, arguments: [Expression; N]) -> Expression {
    Expression::Call(function, Box::new(arguments))
}

fn negated(operand: Expression) -> Expression {
    call(Function::Not, [operand])
}

fn prefix<'a>(input: &mut Input<'a>) -> Result<Prefix<Input<'a>, Expression, Problem>, Problem> {
    alt((
        sign("-").value(Prefix(power::SIGN, |_, operand| {
            let zero = Expression::Constant(Value::Integer(0));
            Ok(call(Function::Subtract, [zero, operand]))
        })),
        sign("+").value(Prefix(power::SIGN, |_, operand| Ok(operand))),
        sign("~").value(Prefix(power::COMPLEMENT, |_, operand| {
            let ones = Expression::Constant(Value::Integer(-1));
            Ok(call(Function::BitXor, [ones, operand]))
        })),
        word("not").value(Prefix(power::NOT, |_, operand| Ok(negated(operand)))),
    ))
    .parse_next(input)
    // It is looked for where there is no operand.
    .map_err(|problem| Problem { is_final: false, ..problem.expecting("a value") })
    .and_then(|prefix| count(input).map(|()| prefix))
}

fn postfix<'a>(input: &mut Input<'a>) -> Result<Postfix<Input<'a>, Expression, Problem>, Problem> {
    fn is(value: Value, operand: Expression) -> Expression {
        call(Function::Is, [operand, Expression::Constant(value)])
    }
    let (is_negated, value) = alt((
        word("isnull").value((false, Value::Null)),
        word("notnull").value((true, Value::Null)),
        preceded(word("is"), (opt(word("not")).map(|found| found.is_some()), tested)),
    ))
    .parse_next(input)?;
    count(input)?;
    Ok(Postfix(
        power::IS,
        match (is_negated, value) {
            (false, Value::Boolean(true)) => |_, operand| Ok(is(Value::Boolean(true), operand)),
            (false, Value::Boolean(false)) => |_, operand| Ok(is(Value::Boolean(false), operand)),
            (false, _) => |_, operand| Ok(is(Value::Null, operand)),
            (true, Value::Boolean(true)) => {
                |_, operand| Ok(negated(is(Value::Boolean(true), operand)))
            }
            (true, Value::Boolean(false)) => {
                |_, operand| Ok(negated(is(Value::Boolean(false), operand)))
            }
            (true, _) => |_, operand| Ok(negated(is(Value::Null, operand))),
        },
    ))
}

/// What stands behind IS and IS NOT.
fn tested(input: &mut Input<'_>) -> Result<Value, Problem> {
    constant_word.parse_next(input).map_err(|problem| problem.expecting("NULL, TRUE or FALSE"))
}

fn infix<'a>(input: &mut Input<'a>) -> Result<Infix<Input<'a>, Expression, Problem>, Problem> {
    use Infix::{Left, Neither};
    macro_rules! operator {
        ($kind:ident, $power:expr, $function:ident) => {
            $kind($power, |_, left, right| Ok(call(Function::$function, [left, right])))
        };
        (swapped $function:ident) => {
            Neither(power::COMPARE, |_, left, right| Ok(call(Function::$function, [right, left])))
        };
    }
    alt((
        alt((
            word("or").value(operator!(Left, power::OR, Or)),
            word("and").value(operator!(Left, power::AND, And)),
            sign("<=").value(operator!(Neither, power::COMPARE, LessOrEqual)),
            sign(">=").value(operator!(swapped LessOrEqual)),
            sign("<>").value(operator!(Neither, power::COMPARE, NotEqual)),
            sign("!=").value(operator!(Neither, power::COMPARE, NotEqual)),
            sign("<<").value(operator!(Left, power::BITS, ShiftLeft)),
            sign(">>").value(operator!(Left, power::BITS, ShiftRight)),
            sign("<").value(operator!(Neither, power::COMPARE, Less)),
        )),
        alt((
            sign(">").value(operator!(swapped Less)),
            sign("=").value(operator!(Neither, power::COMPARE, Equal)),
            sign("|").value(operator!(Left, power::BITS, BitOr)),
            sign("#").value(operator!(Left, power::BITS, BitXor)),
            sign("&").value(operator!(Left, power::BITS, BitAnd)),
            sign("+").value(operator!(Left, power::ADD, Add)),
            sign("-").value(operator!(Left, power::ADD, Subtract)),
            sign("*").value(operator!(Left, power::MULTIPLY, Multiply)),
            sign("/").value(operator!(Left, power::MULTIPLY, Divide)),
        )),
        sign("%").value(operator!(Left, power::MULTIPLY, Modulo)),
        fail,
    ))
    .parse_next(input)
}

fn operand(input: &mut Input<'_>) -> Result<Expression, Problem> {
    count(input)?;
    let constant = constant_word.map(Expression::Constant);
    alt((number, bracketed, variable, case, constant, function)).parse_next(input)
}

/// An expression where nothing else can stand.
fn committed(input: &mut Input<'_>) -> Result<Expression, Problem> {
    whole.parse_next(input).map_err(|problem| Problem { is_final: true, ..problem })
}

fn bracketed(input: &mut Input<'_>) -> Result<Expression, Problem> {
    literal("(").parse_next(input)?;
    let inner = committed.parse_next(input)?;
    close.parse_next(input)?;
    Ok(inner)
}

fn close(input: &mut Input<'_>) -> Result<(), Problem> {
    sign(")").parse_next(input).map_err(|problem| problem.expecting("an operator or \")\""))
}

fn variable(input: &mut Input<'_>) -> Result<Expression, Problem> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || !c.is_ascii();
    let name = preceded(literal(":"), take_while(1.., is_part)).parse_next(input)?;
    Ok(Expression::Variable(input.state.names.slot(name)))
}

fn constant_word(input: &mut Input<'_>) -> Result<Value, Problem> {
    alt((
        word("null").value(Value::Null),
        word("true").value(Value::Boolean(true)),
        word("false").value(Value::Boolean(false)),
    ))
    .parse_next(input)
}

/// The least integer has a sign, since what follows it alone is none any more.
fn number(input: &mut Input<'_>) -> Result<Expression, Problem> {
    const LEAST: &str = "9223372036854775808";
    let start = input.checkpoint();
    let at = input.current_token_start();
    if (
        literal("-"),
        space,
        digit1.verify(|digits: &str| digits == LEAST),
        not(one_of(['.', 'e', 'E'])),
    )
        .parse_next(input)
        .is_ok()
    {
        return Ok(Expression::Constant(Value::Integer(i64::MIN)));
    }
    input.reset(&start);
    let exponent = || opt((one_of(['e', 'E']), opt(one_of(['+', '-'])), digit1));
    let fraction = || (literal("."), opt(digit1));
    let text = alt((
        (digit1, opt(fraction()), exponent()).take(),
        (literal("."), digit1, exponent()).take(),
    ))
    .parse_next(input)?;
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        let overflow = || {
            format!(
                "bigint constant overflow: \"{text}\" needs more than 64 bits; {text}.0 is a double"
            )
        };
        let value = text.parse().map_err(|_| Problem::new(at, overflow()))?;
        return Ok(Expression::Constant(Value::Integer(value)));
    }
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() => Ok(Expression::Constant(Value::Double(value))),
        _ => {
            let message = format!("double constant overflow: \"{text}\" is above {:e}", f64::MAX);
            Err(Problem::new(at, message))
        }
    }
}

fn case(input: &mut Input<'_>) -> Result<Expression, Problem> {
    word("case").parse_next(input)?;
    let then = word("then").map_err(|problem: Problem| problem.expecting("an operator or THEN"));
    let when = (preceded(word("when"), committed), preceded(then, committed));
    let pairs: Vec<_> = repeat(1.., when)
        .parse_next(input)
        .map_err(|problem: Problem| problem.expecting("WHEN"))?;
    let otherwise = opt(preceded(word("else"), committed)).parse_next(input)?;
    word("end").parse_next(input).map_err(|problem| problem.expecting("an operator or END"))?;
    let otherwise = otherwise.unwrap_or(Expression::Constant(Value::Null));
    let pairs = pairs.into_iter().flat_map(|(condition, result)| [condition, result]);
    Ok(Expression::Call(Function::Case, pairs.chain([otherwise]).collect()))
}

fn function(input: &mut Input<'_>) -> Result<Expression, Problem> {
    let at = input.current_token_start();
    let name = name.parse_next(input)?;
    let lower = name.to_ascii_lowercase();
    let is_key_word =
        ["and", "or", "not", "is", "isnull", "notnull", "case", "when", "then", "else", "end"]
            .contains(&&*lower);
    if is_key_word {
        return Err(Problem { at, message: format!("syntax error at {name:?}"), is_final: false });
    }
    let Some((_, function, arity)) = FUNCTIONS.iter().find(|(known, ..)| *known == lower) else {
        let is_called = (space, literal("(")).parse_next(input).is_ok();
        let message = if is_called {
            let known: Vec<_> = FUNCTIONS.iter().map(|(known, ..)| *known).collect();
            format!("unexpected function name \"{name}\": there are {}", known.join(", "))
        } else {
            format!("unexpected word \"{name}\": a variable is written :{name}")
        };
        return Err(Problem::new(at, message));
    };
    let arguments =
        alt((peek(sign(")")).map(|()| Vec::new()), separated(1.., committed, sign(","))));
    let open = sign("(").map_err(|problem: Problem| problem.expecting("\"(\""));
    let mut arguments: Vec<Expression> = delimited(open, arguments, close).parse_next(input)?;
    let count = arguments.len();
    if !arity.contains(&count) {
        let message = match arity.start() == arity.end() || count > *arity.end() {
            true => format!(
                "unexpected number of arguments ({name}): {count}, and it takes {}",
                match (arity.start(), arity.end()) {
                    (least, most) if least == most => least.to_string(),
                    (least, most) => format!("{least} to {most}"),
                }
            ),
            false => format!("at least {} argument(s) expected ({name})", arity.start()),
        };
        return Err(Problem::new(at, message));
    }
    // What the last argument is where it may be left out.
    let has_seed =
        matches!(function, Function::HashFnv1a | Function::HashMurmur2 | Function::Permute);
    if has_seed && count < *arity.end() {
        arguments.push(Expression::Variable(input.state.names.slot("default_seed")));
    }
    Ok(Expression::Call(*function, arguments.into()))
}

/// Names, and how many arguments they take.
const FUNCTIONS: &[(&str, Function, std::ops::RangeInclusive<usize>)] = &[
    ("abs", Function::Abs, 1..=1),
    ("debug", Function::Debug, 1..=1),
    ("double", Function::Double, 1..=1),
    ("exp", Function::Exp, 1..=1),
    ("greatest", Function::Greatest, 1..=ARGUMENTS_MAX),
    ("hash", Function::HashMurmur2, 1..=2),
    ("hash_fnv1a", Function::HashFnv1a, 1..=2),
    ("hash_murmur2", Function::HashMurmur2, 1..=2),
    ("int", Function::Int, 1..=1),
    ("least", Function::Least, 1..=ARGUMENTS_MAX),
    ("ln", Function::Ln, 1..=1),
    ("mod", Function::Modulo, 2..=2),
    ("permute", Function::Permute, 2..=3),
    ("pi", Function::Pi, 0..=0),
    ("pow", Function::Power, 2..=2),
    ("power", Function::Power, 2..=2),
    ("random", Function::Random, 2..=2),
    ("random_exponential", Function::RandomExponential, 3..=3),
    ("random_gaussian", Function::RandomGaussian, 3..=3),
    ("random_zipfian", Function::RandomZipfian, 3..=3),
    ("sqrt", Function::Sqrt, 1..=1),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_nested_too_deeply_is_refused_and_overflows_no_stack() {
        for (before, within, after) in [
            ("(", "1", ")"),
            ("abs(", "1", ")"),
            ("case when true then ", "1", " end"),
            ("- ", "1", ""),
            ("+", "1", ""),
            ("~", "1", ""),
            ("not ", "true", ""),
            ("", "1", " is null"),
            ("", "1", " isnull"),
            ("", "1", " + 1"),
            ("1 + ", "1", ""),
        ] {
            // As much stack as a program's first thread has.
            let thread = std::thread::Builder::new().stack_size(8 << 20).spawn(move || {
                let nested = |depth| before.repeat(depth) + within + &after.repeat(depth);
                let names = Names::new();
                assert!(read(&nested(100), &names).is_ok(), "{before}{within}{after}");
                let _ = read(&nested(PARTS_MAX - 1), &names);
                let problem = read(&nested(100_000), &names).expect_err("too deep");
                assert!(problem.message.contains("at most"), "{problem:?}");
            });
            thread.unwrap().join().unwrap();
        }
    }
}
