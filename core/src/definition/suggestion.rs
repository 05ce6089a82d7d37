//! "Did you mean …": the nearest of some words, at a bounded total cost.
//! Must not know what the words are.

/// Most words compared while one definition is read: 200 faults times 100,000 ids would take seconds.
const COMPARISONS_MAX: usize = 500_000;

/// What is left to spend on advice.
#[derive(Debug)]
pub struct Suggestions {
    left: usize,
}

impl Default for Suggestions {
    fn default() -> Suggestions {
        Suggestions::new()
    }
}

impl Suggestions {
    pub fn new() -> Suggestions {
        Suggestions { left: COMPARISONS_MAX }
    }

    /// The candidate that differs least from the word, if it is near: one slip from 3 letters, two from 6;
    /// or one that begins in the same way, as `retry` for `retries`.
    pub fn nearest<'a>(&mut self, word: &str, words: impl Iterator<Item = &'a str>) -> Option<&'a str> {
        let slips = match word.len() {
            0..=2 => 0,
            3..=5 => 1,
            length => 2 + length / 12,
        };
        let mut best: Option<(usize, &'a str)> = None;
        for candidate in words.take(self.left) {
            self.left -= 1;
            let alike = alike(word, candidate);
            if !alike && candidate.len().abs_diff(word.len()) > slips {
                continue;
            }
            let distance = strsim::osa_distance(word, candidate);
            if (alike || distance <= slips) && best.is_none_or(|(least, _)| distance < least) {
                best = Some((distance, candidate));
            }
        }
        best.map(|(_, candidate)| candidate)
    }
}

/// Whether three quarters of the candidate, at least four letters, begin the word, which is little longer.
fn alike(word: &str, candidate: &str) -> bool {
    let same = word.bytes().zip(candidate.bytes()).take_while(|(one, other)| one == other).count();
    same >= 4 && same * 4 >= candidate.len() * 3 && word.len() <= candidate.len() + 3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_words() {
        let mut suggestions = Suggestions::new();
        let mut check = |word: &str, expected| {
            let words = ["retry", "run_if", "transform", "id", "when"];
            assert_eq!(suggestions.nearest(word, words.into_iter()), expected, "{word}");
        };
        check("transfrom", Some("transform"));
        check("retri", Some("retry"));
        check("retries", Some("retry"));
        check("if", None);
        check("wehn", Some("when"));
        check("something", None);
    }
}
