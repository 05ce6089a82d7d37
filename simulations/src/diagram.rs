//! A story as a space-time diagram in text: a column for each node, time downwards, arrows for frames. Must not know how
//! the story came to be.
//!
//! ```text
//!      time  clients   n1      n2      n3      w1
//!     1.204     |      *       |       |       |     n1 leads group 1 in term 3
//!     1.310     |      o------------------------>    run t0 C23M
//!     1.702     |      X       .       |       |     kill n1 for 3s
//! ```

use std::collections::BTreeMap;

use crate::witness::{Kind, Moment};

/// Lines of a story that somebody reads; what matters less is left out above it.
const LINES_MAX: usize = 400;
/// Letters between two columns.
const STEP: usize = 8;
const CLIENTS: &str = "clients";
/// Letters of what is said of a line.
const WORDS_MAX: usize = 110;

/// See the module.
pub fn draw(moments: &[Moment]) -> String {
    let (shown, left_out) = thinned(moments);
    let columns = Columns::of(&shown);
    let mut text = columns.head();
    for moment in &shown {
        text.push_str(&columns.line(moment));
    }
    if left_out > 0 {
        text.push_str(&format!("({left_out} things that matter less are not shown)\n"));
    }
    text
}

/// Repetitions made one, and no more than can be read.
fn thinned(moments: &[Moment]) -> (Vec<Moment>, usize) {
    let mut shown: Vec<Moment> = Vec::new();
    let mut last: BTreeMap<(String, String), u64> = BTreeMap::new();
    for moment in moments {
        // Clients look again and again; only what is new to them is told.
        let again = last.insert((moment.who.clone(), moment.words.clone()), moment.at).is_some();
        if !(again && matches!(moment.kind, Kind::Told | Kind::Raft(_) | Kind::Passed(_) | Kind::Work(_))) {
            shown.push(moment.clone());
        }
    }
    let all = moments.len();
    while shown.len() > LINES_MAX {
        let Some(least) = shown.iter().map(|moment| rank(&moment.kind)).max() else { break };
        if least == 0 {
            shown.truncate(LINES_MAX);
            break;
        }
        shown.retain(|moment| rank(&moment.kind) < least);
    }
    let left_out = all - shown.len();
    (shown, left_out)
}

fn rank(kind: &Kind) -> u8 {
    match kind {
        Kind::Fault | Kind::Life => 0,
        Kind::Told | Kind::Leads => 1,
        Kind::Process => 2,
        Kind::Commits => 3,
        Kind::Work(_) => 4,
        Kind::Raft(_) => 5,
        Kind::Passed(_) => 6,
    }
}

/// Names and places of the columns.
struct Columns(Vec<String>);

impl Columns {
    fn of(moments: &[Moment]) -> Columns {
        let mut masters = Vec::new();
        let mut workers = Vec::new();
        for moment in moments {
            let who = &moment.who;
            let list = if who.starts_with('n') { &mut masters } else { &mut workers };
            if is_node(who) && !list.contains(who) {
                list.push(who.clone());
            }
        }
        masters.sort();
        workers.sort();
        Columns(std::iter::once(CLIENTS.to_owned()).chain(masters).chain(workers).collect())
    }

    fn place(&self, who: &str) -> Option<usize> {
        let name = if who.starts_with("client") { CLIENTS } else { who };
        self.0.iter().position(|column| column == name)
    }

    fn head(&self) -> String {
        let names: String = self.0.iter().map(|name| format!("{name:<STEP$}")).collect();
        format!("{:>11}  {}\n", "time", names.trim_end())
    }

    fn line(&self, moment: &Moment) -> String {
        let mut cells: Vec<char> = vec![' '; STEP * self.0.len()];
        for place in 0..self.0.len() {
            cells[place * STEP] = '|';
        }
        let here = self.place(&moment.who);
        let words = match (&moment.kind, here) {
            (Kind::Work(from) | Kind::Raft(from) | Kind::Passed(from), Some(to)) => {
                self.arrow(&mut cells, from, to);
                moment.words.clone()
            }
            (kind, Some(place)) => {
                cells[place * STEP] = sign(kind);
                format!("{}: {}", moment.who, moment.words)
            }
            (_, None) => {
                // A fault: its victims are in its words.
                for (place, name) in self.0.iter().enumerate() {
                    if moment.words.contains(&format!("{name:?}")) {
                        cells[place * STEP] = 'X';
                    }
                }
                moment.words.clone()
            }
        };
        let cells: String = cells.into_iter().collect();
        let at = format!("{}.{:03}", moment.at / 1_000_000, moment.at / 1_000 % 1_000);
        let words: String = words.chars().take(WORDS_MAX).collect();
        format!("{at:>11}  {cells} {words}\n")
    }

    fn arrow(&self, cells: &mut [char], from: &str, to: usize) {
        let Some(from) = self.place(from) else { return };
        let (left, right) = (from.min(to) * STEP, from.max(to) * STEP);
        cells[left..right].fill('-');
        cells[from * STEP] = 'o';
        cells[to * STEP] = if from < to { '>' } else { '<' };
    }
}

fn is_node(who: &str) -> bool {
    !who.starts_with("client") && who != "faults"
}

fn sign(kind: &Kind) -> char {
    match kind {
        Kind::Leads => 'L',
        Kind::Commits => 'c',
        Kind::Process => '#',
        _ => '*',
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_story() {
        let moment =
            |at, who: &str, kind, words: &str| Moment { at, who: who.into(), kind, words: words.into() };
        let story = [
            moment(1_204_000, "n2", Kind::Leads, "leads group 1 in term 3"),
            moment(1_310_500, "w1", Kind::Work("n1".into()), "run t0 C23M"),
            moment(1_320_000, "client-2", Kind::Told, "n1: Started"),
            moment(1_330_000, "client-2", Kind::Told, "n1: Started"),
            moment(1_702_000, "faults", Kind::Fault, "Kill [\"n1\"] for 3s"),
            moment(1_702_000, "n1", Kind::Life, "ends"),
        ];
        let expected = "       time  clients n1      n2      w1
      1.204  |       |       L       |        n2: leads group 1 in term 3
      1.310  |       o--------------->        run t0 C23M
      1.320  *       |       |       |        client-2: n1: Started
      1.702  |       X       |       |        Kill [\"n1\"] for 3s
      1.702  |       *       |       |        n1: ends
(1 things that matter less are not shown)
";
        assert_eq!(draw(&story), expected);
    }
}
