//! Names of any form become names of our grammar: a slug that people recognise, `-`, six digits of a hash.
//! Different names stay different, also where their slugs are cut to the same.

use std::collections::{BTreeMap, BTreeSet};

use hortator_core::id::{NAME_BYTES_MAX, fnv1a64};

/// `-` and six hexadecimal digits.
const SUFFIX_BYTES: usize = 7;

/// Names by their originals.
#[derive(Debug, Default)]
pub(super) struct Names(BTreeMap<String, String>);

impl Names {
    pub(super) fn new<'a>(originals: impl Iterator<Item = &'a str>) -> Names {
        let (mut names, mut taken) = (BTreeMap::new(), BTreeSet::new());
        for original in originals {
            if !names.contains_key(original) {
                let name = (0..).map(|salt| named(original, salt)).find(|name| !taken.contains(name));
                let name = name.expect("there are more salts than names");
                taken.insert(name.clone());
                names.insert(original.to_owned(), name);
            }
        }
        Names(names)
    }

    /// The name of an original that was given to `new`.
    pub(super) fn of(&self, original: &str) -> &str {
        &self.0[original]
    }
}

fn named(original: &str, salt: u32) -> String {
    let hash = match salt {
        0 => fnv1a64(original.as_bytes()),
        salt => fnv1a64(format!("{original}#{salt}").as_bytes()),
    };
    // The upper half goes in too: FNV's low bits depend on few of the input's.
    let digits = (hash ^ (hash >> 32)) & 0xff_ffff;
    format!("{}-{digits:06x}", slug(original, NAME_BYTES_MAX - SUFFIX_BYTES))
}

/// Lower-case letters, digits and single `-`, beginning with a letter, at most so long.
pub(super) fn slug(text: &str, bytes_max: usize) -> String {
    let mut slug = String::new();
    for letter in text.chars() {
        match letter.to_ascii_lowercase() {
            letter @ ('a'..='z' | '0'..='9') => slug.push(letter),
            _ if slug.ends_with('-') || slug.is_empty() => {}
            _ => slug.push('-'),
        }
    }
    if !slug.starts_with(|letter: char| letter.is_ascii_lowercase()) {
        slug.insert_str(0, "x-");
    }
    slug.truncate(bytes_max);
    slug.trim_end_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use hortator_core::id::Name;

    use super::*;

    #[test]
    fn every_name_fits_the_grammar_and_is_its_own() {
        let long = "NFCORE_VIRALRECON:".repeat(10);
        let originals = [
            "A_1",
            "a_1",
            "a-1",
            "a 1",
            "1",
            "",
            "-",
            "é",
            "ID000001",
            &long,
            &format!("{long}x"),
            &long.to_lowercase(),
        ];
        let names = Names::new(originals.into_iter());
        let mut seen = BTreeSet::new();
        for original in originals {
            let name = names.of(original);
            assert!(Name::new(name).is_ok(), "{original:?} → {name:?}");
            assert!(seen.insert(name), "{original:?} → {name:?} again");
        }
    }

    #[test]
    fn slugs() {
        assert_eq!(slug("mProject_ID0000001", 56), "mproject-id0000001");
        assert_eq!(slug("22ch--250k..", 56), "x-22ch-250k");
        assert_eq!(slug("ab-cd", 3), "ab");
    }
}
