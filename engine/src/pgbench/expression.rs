//! pgbench's expressions, parsed and evaluated (manual page of pgbench, "Built-in Operators",
//! "Built-In Functions").

use thiserror::Error;

use super::random::{fnv1a, murmur2, permute};
use super::{Debugged, Slot, Value, Variables, Xoroshiro};

/// An expression.
#[derive(Clone, Debug, PartialEq)]
pub enum Expression {
    /// A value.
    Constant(Value),
    /// A variable's value.
    Variable(Slot),
    /// An operator, a function, or CASE.
    Call(Function, Box<[Expression]>),
}

/// Operators and functions. What an operator is written as that is not listed is made of others, such
/// as `>` of `<`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are the manual's")]
pub enum Function {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    BitAnd,
    BitOr,
    BitXor,
    ShiftLeft,
    ShiftRight,
    Equal,
    NotEqual,
    LessOrEqual,
    Less,
    /// IS: the same type and the same value.
    Is,
    Not,
    And,
    Or,
    /// Pairs of a condition and a result, and what the result is where no condition holds.
    Case,
    Abs,
    Debug,
    Double,
    Exp,
    Greatest,
    HashFnv1a,
    HashMurmur2,
    Int,
    Least,
    Ln,
    Permute,
    Pi,
    Power,
    Random,
    RandomExponential,
    RandomGaussian,
    RandomZipfian,
    Sqrt,
}

/// Arguments that a function can have at most.
pub const ARGUMENTS_MAX: usize = 16;

/// The widths that `random_gaussian` and `random_zipfian` can have.
const GAUSSIAN_MIN: f64 = 2.0;
const ZIPFIAN: std::ops::RangeInclusive<f64> = 1.001..=1000.0;

/// Why an expression has no value, in pgbench's words.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum EvaluationError {
    /// A whole number came out that has no room in 64 bits.
    #[error("bigint {0} out of range: double(..) of an operand has room for more")]
    OutOfRange(&'static str),
    /// A division by 0, or its remainder.
    #[error("division by zero: CASE WHEN .. <> 0 THEN .. END keeps it from being done")]
    DivisionByZero,
    /// A double that is no 64-bit whole number.
    #[error("double to int overflow for {0:e}: an int has 64 bits")]
    DoubleToInteger(f64),
    /// A value of one type where another is needed.
    #[error(
        "cannot coerce {from} to {to}: {}",
        match *to {
            "boolean" => "compare it, as in .. <> 0",
            _ => "CASE WHEN .. THEN 1 ELSE 0 END makes a number of it",
        }
    )]
    Coercion {
        /// The type that it has.
        from: &'static str,
        /// The type that is needed.
        to: &'static str,
    },
    /// The first bound is above the second.
    #[error("empty range given to random: {0} is above {1}")]
    EmptyRange(i64, i64),
    /// There are more numbers in it than 64 bits can count.
    #[error("random range is too large: from {0} to {1} are more numbers than 63 bits can count")]
    RangeTooLarge(i64, i64),
    /// `random_gaussian`.
    #[error("gaussian parameter must be at least 2.0 (not {0})")]
    Gaussian(f64),
    /// `random_exponential`.
    #[error("exponential parameter must be greater than zero (not {0})")]
    Exponential(f64),
    /// `random_zipfian`.
    #[error("zipfian parameter must be in range [1.001, 1000] (not {0})")]
    Zipfian(f64),
    /// `permute`.
    #[error("permute size parameter must be greater than zero (not {0})")]
    PermuteSize(i64),
    /// A variable that was never set.
    #[error("undefined variable \"{0}\": \\set, \\gset, \\aset and -D set one")]
    Undefined(Box<str>),
    /// A variable whose text is no value.
    #[error("malformed variable \"{name}\" value: \"{text}\" is no number, boolean or NULL")]
    Malformed {
        /// The variable.
        name: Box<str>,
        /// Its text.
        text: Box<str>,
    },
}

/// What an expression is evaluated with.
#[derive(Debug)]
pub(super) struct Context<'a> {
    pub(super) variables: &'a Variables,
    pub(super) random: &'a mut Xoroshiro,
    /// Where the expression stands: in which script, and in which of its commands.
    pub(super) script: u32,
    pub(super) command: u32,
    /// What `debug` was given.
    pub(super) debugged: &'a mut Vec<Debugged>,
}

impl Expression {
    pub(super) fn evaluate(&self, context: &mut Context<'_>) -> Result<Value, EvaluationError> {
        match self {
            Self::Constant(value) => Ok(*value),
            Self::Variable(slot) => context.variables.value(*slot),
            Self::Call(Function::And, arguments) => junction(arguments, false, context),
            Self::Call(Function::Or, arguments) => junction(arguments, true, context),
            Self::Call(Function::Case, arguments) => case(arguments, context),
            Self::Call(function, arguments) => {
                let mut values = [Value::Null; ARGUMENTS_MAX];
                for (value, argument) in values.iter_mut().zip(arguments) {
                    *value = argument.evaluate(context)?;
                }
                function.call(&values[..arguments.len()], context)
            }
        }
    }
}

/// AND, which `false` decides, and OR, which `true` does. The second operand is not looked at where
/// the first decides, or is NULL.
fn junction(
    operands: &[Expression],
    decisive: bool,
    context: &mut Context<'_>,
) -> Result<Value, EvaluationError> {
    for operand in operands {
        match operand.evaluate(context)? {
            Value::Null => return Ok(Value::Null),
            value if value.boolean()? == decisive => return Ok(Value::Boolean(decisive)),
            _ => {}
        }
    }
    Ok(Value::Boolean(!decisive))
}

fn case(arguments: &[Expression], context: &mut Context<'_>) -> Result<Value, EvaluationError> {
    for pair in arguments.chunks(2) {
        match pair {
            [condition, result] if condition.evaluate(context)?.is_true() => {
                return result.evaluate(context);
            }
            [otherwise] => return otherwise.evaluate(context),
            _ => {}
        }
    }
    Ok(Value::Null)
}

impl Function {
    fn call(self, values: &[Value], context: &mut Context<'_>) -> Result<Value, EvaluationError> {
        use Function as F;
        let is_of_null = values.contains(&Value::Null) && !matches!(self, F::Is | F::Debug);
        if is_of_null {
            return Ok(Value::Null);
        }
        let is_double = values.iter().any(|value| matches!(value, Value::Double(_)));
        match (self, values) {
            (F::Is, [left, right]) => Ok(Value::Boolean(left == right)),
            (F::Debug, [value]) => {
                let Context { script, command, .. } = *context;
                context.debugged.push(Debugged { script, command, value: *value });
                Ok(*value)
            }
            (F::Not, [value]) => Ok(Value::Boolean(!value.boolean()?)),
            (F::Pi, []) => Ok(Value::Double(std::f64::consts::PI)),
            (F::Abs, [Value::Integer(value)]) => Ok(Value::Integer(value.wrapping_abs())),
            (F::Abs, [value]) => Ok(Value::Double(value.double()?.abs())),
            (F::Double, [value]) => value.double().map(Value::Double),
            (F::Exp, [value]) => Ok(Value::Double(value.double()?.exp())),
            (F::Ln, [value]) => Ok(Value::Double(value.double()?.ln())),
            (F::Sqrt, [value]) => Ok(Value::Double(value.double()?.sqrt())),
            (F::Int, [value]) => value.integer().map(Value::Integer),
            (F::Power, [base, exponent]) => {
                Ok(Value::Double(base.double()?.powf(exponent.double()?)))
            }
            (F::Greatest, _) if is_double => extreme(values, |left, right| left > right),
            (F::Least, _) if is_double => extreme(values, |left, right| left < right),
            (F::Greatest, _) => integers(values, i64::max),
            (F::Least, _) => integers(values, i64::min),
            (F::HashFnv1a, [value, seed]) => {
                Ok(Value::Integer(fnv1a(value.integer()?, seed.integer()?)))
            }
            (F::HashMurmur2, [value, seed]) => {
                Ok(Value::Integer(murmur2(value.integer()?, seed.integer()?)))
            }
            (F::Permute, [value, size, seed]) => match size.integer()? {
                size @ 1.. => Ok(Value::Integer(permute(value.integer()?, size, seed.integer()?))),
                size => Err(EvaluationError::PermuteSize(size)),
            },
            (F::Random, [low, high]) => {
                let (low, high) = range(*low, *high)?;
                Ok(Value::Integer(context.random.uniform(low, high)))
            }
            (_, [low, high, parameter]) => self.draw(*low, *high, *parameter, context.random),
            (_, [left, right]) if is_double && self != F::Modulo => {
                self.on_doubles(left.double()?, right.double()?)
            }
            (_, [left, right]) => self.on_integers(left.integer()?, right.integer()?),
            _ => unreachable!("arguments are counted when a script is read"),
        }
    }

    fn draw(
        self,
        low: Value,
        high: Value,
        parameter: Value,
        random: &mut Xoroshiro,
    ) -> Result<Value, EvaluationError> {
        let (low, high) = range(low, high)?;
        let parameter = parameter.double()?;
        Ok(Value::Integer(match self {
            // NaN is none of these: pgbench would draw for ever.
            Self::RandomGaussian if parameter < GAUSSIAN_MIN || parameter.is_nan() => {
                return Err(EvaluationError::Gaussian(parameter));
            }
            Self::RandomGaussian => random.gaussian(low, high, parameter),
            Self::RandomZipfian if !ZIPFIAN.contains(&parameter) => {
                return Err(EvaluationError::Zipfian(parameter));
            }
            Self::RandomZipfian => random.zipfian(low, high, parameter),
            _ if parameter <= 0.0 || parameter.is_nan() => {
                return Err(EvaluationError::Exponential(parameter));
            }
            _ => random.exponential(low, high, parameter),
        }))
    }

    fn on_doubles(self, left: f64, right: f64) -> Result<Value, EvaluationError> {
        Ok(match self {
            Self::Add => Value::Double(left + right),
            Self::Subtract => Value::Double(left - right),
            Self::Multiply => Value::Double(left * right),
            Self::Divide => Value::Double(left / right),
            Self::Equal => Value::Boolean(left == right),
            Self::NotEqual => Value::Boolean(left != right),
            Self::LessOrEqual => Value::Boolean(left <= right),
            Self::Less => Value::Boolean(left < right),
            _ => {
                let (left, right) = (Value::Double(left), Value::Double(right));
                return self.on_integers(left.integer()?, right.integer()?);
            }
        })
    }

    fn on_integers(self, left: i64, right: i64) -> Result<Value, EvaluationError> {
        let within = |value: Option<i64>, what| value.ok_or(EvaluationError::OutOfRange(what));
        Ok(Value::Integer(match self {
            Self::Add => within(left.checked_add(right), "add")?,
            Self::Subtract => within(left.checked_sub(right), "sub")?,
            Self::Multiply => within(left.checked_mul(right), "mul")?,
            Self::Divide | Self::Modulo if right == 0 => {
                return Err(EvaluationError::DivisionByZero);
            }
            Self::Divide => within(left.checked_div(right), "div")?,
            Self::Modulo => left.wrapping_rem(right),
            Self::BitAnd => left & right,
            Self::BitOr => left | right,
            Self::BitXor => left ^ right,
            Self::ShiftLeft => left.wrapping_shl(right as u32),
            Self::ShiftRight => left.wrapping_shr(right as u32),
            Self::Equal => return Ok(Value::Boolean(left == right)),
            Self::NotEqual => return Ok(Value::Boolean(left != right)),
            Self::LessOrEqual => return Ok(Value::Boolean(left <= right)),
            Self::Less => return Ok(Value::Boolean(left < right)),
            _ => unreachable!("arguments are counted when a script is read"),
        }))
    }
}

fn range(low: Value, high: Value) -> Result<(i64, i64), EvaluationError> {
    let (low, high) = (low.integer()?, high.integer()?);
    if low > high {
        return Err(EvaluationError::EmptyRange(low, high));
    }
    let count = high.checked_sub(low).and_then(|span| span.checked_add(1));
    count.map(|_| (low, high)).ok_or(EvaluationError::RangeTooLarge(low, high))
}

fn extreme(values: &[Value], is_better: fn(f64, f64) -> bool) -> Result<Value, EvaluationError> {
    let mut best = values[0].double()?;
    for value in &values[1..] {
        let value = value.double()?;
        if is_better(value, best) {
            best = value;
        }
    }
    Ok(Value::Double(best))
}

fn integers(values: &[Value], better: fn(i64, i64) -> i64) -> Result<Value, EvaluationError> {
    let mut best = values[0].integer()?;
    for value in &values[1..] {
        best = better(best, value.integer()?);
    }
    Ok(Value::Integer(best))
}
