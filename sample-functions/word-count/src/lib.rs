//! Counts the words of a text.

use std::{cmp::Reverse, collections::HashMap};

use schemars::JsonSchema;
use serde::Serialize;

/// How many of the most frequent words are listed unless the caller says otherwise.
const DEFAULT_TOP: usize = 10;

/// The words of a text.
#[derive(Serialize, JsonSchema)]
pub struct WordCount {
    /// How many there are.
    total: usize,
    /// How many different ones.
    distinct: usize,
    /// The most frequent, most frequent first; equally frequent ones by the alphabet.
    top: Vec<Entry>,
}

/// A word and how often it occurs.
#[derive(Serialize, JsonSchema)]
pub struct Entry {
    word: String,
    count: usize,
}

/// Counts the words of `text` without regard to case, and lists the `top` most frequent ones (10 unless given).
///
/// A word is a run of letters, digits and apostrophes.
///
/// ```json
/// {"text": "the cat and the hat", "top": 1}
/// ```
#[bulkhead::function]
pub fn word_count(text: String, top: Option<usize>) -> WordCount {
    let mut counts: HashMap<String, usize> = HashMap::new();
    let mut total = 0;
    for word in text.split(|c: char| !c.is_alphanumeric() && c != '\'') {
        if !word.is_empty() {
            *counts.entry(word.to_lowercase()).or_default() += 1;
            total += 1;
        }
    }
    let distinct = counts.len();
    let mut entries: Vec<Entry> = counts.into_iter().map(|(word, count)| Entry { word, count }).collect();
    entries.sort_unstable_by(|a, b| (Reverse(a.count), &a.word).cmp(&(Reverse(b.count), &b.word)));
    entries.truncate(top.unwrap_or(DEFAULT_TOP));
    WordCount { total, distinct, top: entries }
}

#[cfg(test)]
mod tests {
    use bulkhead::{
        json,
        testing::{Call, Outcome},
    };

    #[test]
    fn it_counts() {
        let text = "The cat and the hat: THE cat's!";
        let outcome = Call::new("word_count").args(json!({"text": text, "top": 2})).run();
        let top = json!([{"word": "the", "count": 3}, {"word": "and", "count": 1}]);
        assert_eq!(outcome, Outcome::Succeeded(json!({"total": 7, "distinct": 5, "top": top})));
    }
}
