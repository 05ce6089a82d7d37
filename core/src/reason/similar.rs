//! Did you mean …: the known words that are most like a mistyped one.
//! Must not know what the words name.

/// The most similar word, when one is similar enough to be meant.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    nearest_all(word, known).into_iter().next()
}

/// All words similar enough to be meant, the most similar first, then by name. At most a third of the letters may
/// differ, at least one; a word that begins with or contains the other counts too.
pub fn nearest_all<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let allowed = (word.chars().count() / 3).max(1);
    let mut found: Vec<(usize, &str)> = known
        .into_iter()
        .filter(|candidate| *candidate != word)
        .filter_map(|candidate| {
            let distance = strsim::osa_distance(word, candidate);
            let inside = candidate.len() >= 3 && word.len() >= 3;
            let contains = inside && (word.contains(candidate) || candidate.contains(word));
            (distance <= allowed || contains).then_some((distance, candidate))
        })
        .collect();
    found.sort();
    found.into_iter().map(|(_, candidate)| candidate).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        let known = ["default", "etl", "gpu", "transform"];
        for (word, expect) in [
            ("etl-gpu", vec!["etl", "gpu"]),
            ("transfrom", vec!["transform"]),
            ("defualt", vec!["default"]),
            ("gpu", vec![]),
            ("", vec![]),
            ("warehouse", vec![]),
        ] {
            assert_eq!(nearest_all(word, known), expect, "{word:?}");
        }
        assert_eq!(nearest("elt", known), Some("etl"));
    }
}
