//! What an act has to come to.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use bulkhead_protocol::outcome::FOREIGN_ABI;
use serde_json::{Value, json};

use crate::client::Answer;

/// What an act has to come to.
#[derive(Clone, Debug)]
pub enum Expected {
    /// A failure with exactly these facts.
    Failure(Value),
    /// One of two failures, where it depends on who is faster inside the function's process.
    Either(Value, Value),
    /// `OutOfMemory` at this limit: by the kernel's word where it counts, concluded elsewhere.
    OutOfMemory(u64),
    /// `OutOfMemory` at this limit, always concluded: an allocation failed.
    AllocationFailed(u64),
    /// The first where a control group counts memory, the second elsewhere.
    Counted(Box<Expected>, Box<Expected>),
    /// A panic with this message, at a place in the function's source.
    Panicked(&'static str),
    /// A forbidden system call of this name.
    PolicyViolation(&'static str),
    /// A broken protocol, in these words.
    ProtocolViolation(&'static str),
    /// Success with this result, each time.
    Result(Value),
    /// Success with a result that is another each time.
    Differs,
    /// Success, with so many of something when the kernel gave no more, for one of these errors.
    Grabbed(RangeInclusive<i64>, &'static [i64]),
    /// Success, with so many attempts in the result that all came to nothing, for one of these errors.
    NothingWentThrough(usize, &'static [i64]),
    /// The package is refused, in words with these in them.
    NotRegistered(&'static str),
}

/// Everything but what differs from call to call: how long it took and how much it used.
pub fn without_usage(outcome: &Value) -> Value {
    let mut outcome = outcome.clone();
    outcome.as_object_mut().map(|outcome| outcome.remove("usage"));
    outcome
}

/// An outcome without what the function used and printed.
fn facts(answer: &Answer) -> Value {
    let mut facts = without_usage(&answer.json()["outcome"]);
    for printed in ["stdout", "stderr"] {
        facts.as_object_mut().map(|facts| facts.remove(printed));
    }
    facts
}

fn same(found: &Value, expected: &Value, answer: &Answer) -> Result<(), String> {
    if found == expected { Ok(()) } else { Err(format!("{expected} was expected of {}", start(answer))) }
}

/// As much of an answer as a message needs.
fn start(answer: &Answer) -> String {
    let text = answer.text();
    format!("{} {}", answer.status, &text[..text.floor_char_boundary(2000)])
}

fn result(answer: &Answer) -> Result<Value, String> {
    if answer.status == 200 { Ok(answer.json()) } else { Err(format!("a result was expected of {}", start(answer))) }
}

impl Expected {
    /// Checks the answers, which are as many as the act has calls.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn check(&self, answers: &[Answer], counts_memory: bool) -> Result<(), String> {
        match self {
            Self::Counted(counted, otherwise) => {
                let expected = if counts_memory { counted } else { otherwise };
                expected.check(answers, counts_memory)
            }
            Self::Differs => {
                let results = answers.iter().map(result).collect::<Result<Vec<_>, _>>()?;
                // A list of values is several, each of which must be another.
                let values = results.iter().map(|value| value.as_array().cloned().unwrap_or(vec![value.clone()]));
                let values: Vec<String> = values.flatten().map(|value| value.to_string()).collect();
                let distinct: BTreeSet<&String> = values.iter().collect();
                if distinct.len() == values.len() { Ok(()) } else { Err(format!("a value comes again: {values:?}")) }
            }
            _ => answers.iter().try_for_each(|answer| self.check_one(answer, counts_memory)),
        }
    }

    fn check_one(&self, answer: &Answer, counts_memory: bool) -> Result<(), String> {
        match self {
            Self::Counted(..) | Self::Differs => Ok(()),
            Self::Failure(expected) => same(&facts(answer), expected, answer),
            Self::Either(one, other) => {
                same(&facts(answer), one, answer).or_else(|_| same(&facts(answer), other, answer))
            }
            Self::OutOfMemory(bytes) => {
                let expected = json!({"kind": "OutOfMemory", "limit_bytes": bytes, "inferred": !counts_memory});
                same(&facts(answer), &expected, answer)
            }
            Self::AllocationFailed(bytes) => {
                let expected = json!({"kind": "OutOfMemory", "limit_bytes": bytes, "inferred": true});
                same(&facts(answer), &expected, answer)
            }
            Self::Panicked(message) => {
                let found = facts(answer);
                let location = found["location"].as_str().unwrap_or_default();
                let right = found["kind"] == "Panicked" && found["message"] == *message;
                if right && location.contains("faulty/src/panics.rs:") { Ok(()) } else { Err(start(answer)) }
            }
            Self::PolicyViolation(call) => check_violation(&facts(answer), call, answer),
            Self::ProtocolViolation(what) => {
                let found = facts(answer);
                let said = found["what"].as_str().unwrap_or_default();
                let right = found["kind"] == "ProtocolViolation" && said.contains(what);
                if right { Ok(()) } else { Err(format!("ProtocolViolation: {what} was expected of {}", start(answer))) }
            }
            Self::Result(expected) => same(&result(answer)?, expected, answer),
            Self::Grabbed(count, errors) => {
                let found = result(answer)?;
                let enough = found["count"].as_i64().is_some_and(|got| count.contains(&got));
                let right = enough && found["errno"].as_i64().is_some_and(|errno| errors.contains(&errno));
                if right { Ok(()) } else { Err(format!("{count:?} and one of {errors:?} were expected of {found}")) }
            }
            Self::NothingWentThrough(attempts, errors) => nothing_went_through(&result(answer)?, *attempts, errors),
            Self::NotRegistered(reason) => {
                let said = answer.json()["detail"].as_str().unwrap_or_default().to_owned();
                let right = answer.status == 422 && said.contains(reason);
                if right { Ok(()) } else { Err(format!("422 with {reason:?} was expected of {}", start(answer))) }
            }
        }
    }
}

fn check_violation(found: &Value, call: &str, answer: &Answer) -> Result<(), String> {
    // Of a call that was made by another way than the machine's own the kernel tells nothing.
    let told = if call == FOREIGN_ABI { found["args"].is_null() } else { is_six_words(&found["args"]) };
    if found["kind"] == "PolicyViolation" && found["syscall"] == call && told {
        return Ok(());
    }
    Err(format!("PolicyViolation by {call} was expected of {}", start(answer)))
}

/// Whether it is the six arguments of a system call.
fn is_six_words(arguments: &Value) -> bool {
    let is_word = |word: &Value| word.as_str().is_some_and(|word| word.starts_with("0x"));
    arguments.as_array().is_some_and(|words| words.len() == 6 && words.iter().all(is_word))
}

fn nothing_went_through(result: &Value, attempts: usize, errors: &[i64]) -> Result<(), String> {
    let all = result.as_array().cloned().unwrap_or_else(|| vec![result.clone()]);
    if all.len() != attempts {
        return Err(format!("{} attempts instead of {attempts}: {result}", all.len()));
    }
    let failed = |attempt: &&Value| attempt["succeeded"] == false;
    let refused = |attempt: &Value| attempt["errno"].as_i64().is_some_and(|errno| errors.contains(&errno));
    match all.iter().find(|attempt| !(failed(attempt) && refused(attempt))) {
        Some(attempt) => Err(format!("not refused with one of {errors:?}: {attempt}")),
        None => Ok(()),
    }
}
