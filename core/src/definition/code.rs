//! The catalogue of what can be wrong with a definition: one code each, with the page that `hortator help CODE` shows.
//! Must not know how the faults are found. A code is never reused and never disappears.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

macro_rules! catalogue {
    ($($code:ident = $number:literal, $title:literal, $page:literal;)*) => {
        /// What is wrong; its number is public for ever.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Code {
            $(#[doc = $title] $code = $number,)*
        }

        impl Code {
            /// All codes, by number.
            pub const ALL: &[Code] = &[$(Code::$code),*];

            /// A few words, lower case, no full stop.
            pub fn title(self) -> &'static str {
                match self { $(Code::$code => $title,)* }
            }

            /// One paragraph: what the rule is, why, and what to do.
            pub fn page(self) -> &'static str {
                match self { $(Code::$code => $page,)* }
            }
        }
    };
}

catalogue! {
    NotText = 2101, "file is not UTF-8 text",
        "A definition is text in UTF-8. The file holds bytes that are not. Save it as UTF-8 in your editor, or \
         convert it: iconv -f ORIGINAL -t UTF-8 FILE.";
    Syntax = 2102, "YAML syntax error",
        "The file is not well-formed YAML 1.2 (JSON is YAML too). Reading stops at the first such error, so further \
         ones appear only when it is corrected. Often the cause is indentation, a tab, or a text with \": \" or \
         \"#\" that needs quotes.";
    UnknownTask = 2103, "needs a task that does not exist",
        "`needs` lists ids of tasks in the same workflow. This id is not among them. Correct the spelling, or add \
         the task.";
    DuplicateTask = 2104, "task id used twice",
        "Every task of a workflow has an id of its own, since `needs`, templates and commands name tasks by it. \
         Rename one of the two.";
    SelfNeed = 2105, "task needs itself",
        "A task starts after all it needs have ended, so a task that needs itself could never start. Remove the \
         entry.";
    Cycle = 2106, "tasks need each other in a circle",
        "Tasks form a graph without circles: each starts after those it needs. The message names one circle from \
         its first task back to it; cut it at one place by removing a `needs` entry.";
    BadName = 2107, "name outside the grammar",
        "Names of workflows, namespaces, tasks, inputs and worker groups are a lower-case letter, then up to 62 of \
         a-z, 0-9 and \"-\". Names of outputs, environment variables and items are letters, digits and \"_\", not \
         beginning with a digit. For people there is `title`, which may be any text.";
    TooManyTasks = 2108, "too many tasks",
        "A workflow has at most 100,000 task runs: one for each task, or one for each item of a `foreach`. Split \
         the workflow.";
    TooManyNeeds = 2109, "too many needs",
        "The `needs` of a workflow have at most 1,000,000 entries together. Put a `noop` task between two large \
         groups of tasks: n × m entries become n + m.";
    UnknownKey = 2110, "unknown key",
        "The format has no such key at this place. Unknown keys are refused, never ignored, so that a misspelt key \
         cannot silently lose its effect. `hortator schema workflow` lists all keys for editors.";
    NotYetSupported = 2111, "not yet supported",
        "The key belongs to the format, but this version of Hortator cannot do it yet. It is refused rather than \
         ignored. Remove it, or use a version that supports it.";
    DuplicateKey = 2112, "key used twice",
        "A map holds each key once. With two, readers of the file could not tell which one counts. Remove one.";
    MissingKey = 2113, "key is missing",
        "A key that is always needed is not there. The smallest definition has `hortator: v1`, `name`, and `tasks` \
         with an `id` and a kind such as `shell`.";
    WrongType = 2114, "wrong type of value",
        "The value is of another type than this place needs, for example a number where text is expected. Only \
         true, false, null and numbers are special in YAML 1.2; put text that looks like them in quotes.";
    NoTasks = 2115, "workflow has no tasks",
        "A workflow needs at least one task. A task that does nothing is written: {id: start, noop: {}}.";
    TaskKind = 2116, "task has no kind, or two",
        "Each task has exactly one key that says what it does: `shell` runs a script, `noop` does nothing. Keep one.";
    UnknownValue = 2117, "value is not one of those allowed",
        "The place takes one of a few words, which the message lists. All are lower case, with \"_\" between parts.";
    OutOfRange = 2118, "value out of range",
        "The value is of the right type but too small, too large or too long; the message names the bounds.";
    TooLarge = 2119, "file is too large",
        "A definition is at most 16 MiB of text, and its environment variables, defaults merged into every task, \
         are as well. Keep data in files of your own and give tasks their paths.";
    TooComplex = 2120, "file is nested or repeated too much",
        "The file nests deeper than 64 levels, has more than 4,000,000 values, or repeats more than 100,000 values \
         through aliases. Such files are refused before they take memory.";
    BadDuration = 2121, "not a duration",
        "A duration is written with units, largest first: 250ms, 30s, 1h30m, 2d. A plain number has no unit and is \
         refused, since readers could take it for seconds or minutes.";
    ManyDocuments = 2122, "more than one document in the file",
        "A file holds one definition. Put what follows \"---\" into a file of its own.";
    BadVersion = 2123, "unknown version of the format",
        "`hortator: v1` names the format of the file. This program knows v1 only.";
    BadExpression = 2124, "expression cannot be read",
        "Conditions (`when`) and what stands between {{ and }} are expressions, for example \
         inputs.region == 'eu' and tasks.check.outputs.rows > 0. There are comparisons, and/or/not, + - / ~, and \
         filters after \"|\"; there are no statements, and `when` has no braces.";
    UnknownReference = 2125, "expression names something that does not exist",
        "Expressions see inputs.NAME, tasks.ID.outputs.NAME, tasks.ID.state, run.id, run.workflow, run.namespace, \
         and, in a task's `env`, attempt and the item of a `foreach`. Defaults of inputs see the inputs before \
         them. A name with \"-\" is written in brackets: tasks[\"load-eu\"].";
    NotUpstream = 2126, "expression uses a task that may not have ended",
        "A task's expressions may use the outputs and states of tasks that it needs, directly or through others, \
         because only those have ended when it starts. Add the task to `needs`.";
    BadDefault = 2127, "default does not fit the input",
        "The default of an input has the input's type, and that of an enum is one of its values.";
    YamlFeature = 2128, "YAML feature that definitions do not use",
        "Tags (!!str), directives (%YAML), merge keys (<<) and keys that are not text are refused: they make files \
         mean different things to different readers. `defaults` serves where merge keys would.";
    DuplicateValue = 2129, "listed twice",
        "The list holds the same entry twice, and one of them was probably meant to be another. Remove or correct it.";
    BadText = 2130, "text with a character that cannot be passed on",
        "Scripts, paths and environment variables reach processes as C strings, which cannot hold a NUL character.";
    TooManyFaults = 2131, "more faults than are shown",
        "Only the first 200 faults of a file are listed. Correct these, then validate again.";
    BadSchedule = 2132, "schedule that cannot fire as it is written",
        "A schedule says when by exactly one of `cron` with `timezone`, `every`, or `at`. Cron is Vixie's: minute, hour, \
         day of month, month, day of week (0 and 7 are Sunday), with seconds in front as an optional sixth. A zone is an \
         IANA name; there is none that goes without saying. What matches no time at all, such as February 30, is \
         refused. Look at the next times: hortator schedule next WORKFLOW/SCHEDULE.";
    ScheduleInput = 2133, "input of a schedule does not fit",
        "A schedule starts runs with nobody there to ask, so every input of the workflow needs a default or a value under \
         the schedule's `inputs`, of the input's type.";
    ScriptTemplate = 2150, "script holds a template",
        "Scripts are not templates: they reach the interpreter as they are written, so that no value can turn into \
         code. Use the environment: inputs are in HTR_INPUT_NAME, an item in HTR_ITEM, and anything else can be put \
         into `env`, whose values are templates.";
    NoEffect = 2151, "key has no effect",
        "The key is valid but changes nothing here, since it works only together with another one.";
    ClockChange = 2152, "time that a change of the clock touches",
        "On the day when clocks go forward, times in the gap do not exist: a schedule of such a time fires right after \
         the gap. On the day when they go back, times in the overlap come twice: it fires at the first of the two. If \
         neither is wanted, choose another time or timezone: UTC. Schedules that repeat every hour or more often follow \
         the clock on the wall and are not touched.";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "H{}", *self as u16)
    }
}

impl Code {
    /// The code of a text such as `H2103`.
    pub fn parse(text: &str) -> Option<Code> {
        Code::ALL.iter().copied().find(|code| code.to_string() == text)
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Code {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Code, D::Error> {
        let text = String::deserialize(deserializer)?;
        Code::parse(&text).ok_or_else(|| serde::de::Error::custom(format!("unknown code {text:?}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_in_order_unique_and_have_pages() {
        for pair in Code::ALL.windows(2) {
            assert!(pair[0] < pair[1], "{} before {}", pair[0], pair[1]);
        }
        for code in Code::ALL {
            assert_eq!(Code::parse(&code.to_string()), Some(*code));
            assert!(!code.title().is_empty() && !code.title().ends_with('.'), "{code}");
            assert!(code.page().len() > 50 && code.page().ends_with('.'), "{code}");
        }
    }
}
