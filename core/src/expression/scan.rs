//! Finds the names an expression uses and where a template's expressions begin and end, without evaluating.
//! Must not know values, inputs or tasks; what a name means is decided by those who ask.

use super::ExpressionError;

/// Longest expression; a person writes one line, and evaluation cost grows with it.
pub const EXPRESSION_BYTES_MAX: usize = 4 << 10;
/// Most names in one expression; with the bounds on inputs and outputs it bounds what joining texts can cost.
pub const REFERENCES_MAX: usize = 32;

/// Most expressions in one template; each costs a few microseconds of the leader's time.
pub const EXPRESSIONS_MAX: usize = 100;

/// A use of a variable, with the constant steps that follow it: `tasks["a-b"].outputs.rows`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// At least the variable's name.
    pub path: Vec<String>,
    /// Whether a computed step follows, as in `inputs[item]`; the path ends before it.
    pub dynamic: bool,
    /// Bytes of the scanned text that the path takes.
    pub start: usize,
    pub end: usize,
}

/// What an expression names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Names<'t> {
    pub(super) references: Vec<Reference>,
    pub(super) filters: Vec<&'t str>,
    pub(super) tests: Vec<&'t str>,
}

/// A part of a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece<'t> {
    Text(&'t str),
    /// The inside of `{{ }}` and where it begins in the template.
    Expression(&'t str, usize),
}

/// Whether a text has anything to fill in.
pub fn contains_template(text: &str) -> bool {
    text.contains("{{")
}

/// Every use of a variable in an expression, in order.
pub fn references(expression: &str) -> Result<Vec<Reference>, ExpressionError> {
    Ok(names(expression)?.references)
}

/// Every use of a variable in a template's expressions, in order; positions count from the template's start.
pub fn template_references(template: &str) -> Result<Vec<Reference>, ExpressionError> {
    let mut all = Vec::new();
    for piece in pieces(template)? {
        if let Piece::Expression(expression, offset) = piece {
            all.extend(references(expression)?.into_iter().map(|reference| Reference {
                start: reference.start + offset,
                end: reference.end + offset,
                ..reference
            }));
        }
    }
    Ok(all)
}

/// Cuts a template into text and expressions. Only `{{ }}` is special; `{%` and `{#` are text.
pub(super) fn pieces(template: &str) -> Result<Vec<Piece<'_>>, ExpressionError> {
    let mut pieces = Vec::new();
    let (mut from, mut expressions) = (0, 0);
    while let Some(found) = template[from..].find("{{") {
        let open = from + found;
        if open > from {
            pieces.push(Piece::Text(&template[from..open]));
        }
        let start = open + 2;
        if template[start..].starts_with('-') {
            return Err(ExpressionError::Syntax("\"{{-\" is not available; write \"{{ \"".into()));
        }
        expressions += 1;
        if expressions > EXPRESSIONS_MAX {
            return Err(ExpressionError::TooManyExpressions);
        }
        let end = start + closing(&template[start..])?;
        pieces.push(Piece::Expression(&template[start..end], start));
        from = end + 2;
    }
    if from < template.len() {
        pieces.push(Piece::Text(&template[from..]));
    }
    Ok(pieces)
}

/// Where the `}}` is that ends the expression at the beginning of `text`.
fn closing(text: &str) -> Result<usize, ExpressionError> {
    let mut depth = 0;
    for token in Tokens::new(text) {
        let token = token?;
        match token.text {
            "{" => depth += 1,
            "}" if depth > 0 => depth -= 1,
            "}" if text[token.start..].starts_with("}}") => return Ok(token.start),
            _ => {}
        }
        if token.start > EXPRESSION_BYTES_MAX {
            return Err(ExpressionError::TooLong);
        }
    }
    Err(ExpressionError::Syntax("\"{{\" has no \"}}\"".into()))
}

const KEYWORDS: [&str; 15] = [
    "and", "or", "not", "in", "is", "if", "else", "true", "false", "none", "True", "False", "None", "elif",
    "for",
];

/// Reads an expression's names.
///
/// Errors: too long, too many names, an unclosed text, or the operator `*`, which can make huge texts.
pub(super) fn names(expression: &str) -> Result<Names<'_>, ExpressionError> {
    if expression.len() > EXPRESSION_BYTES_MAX {
        return Err(ExpressionError::TooLong);
    }
    let tokens = Tokens::new(expression).collect::<Result<Vec<_>, _>>()?;
    let mut names = Names::default();
    let mut at = 0;
    while at < tokens.len() {
        let token = &tokens[at];
        let next = tokens.get(at + 1).map_or("", |token| token.text);
        let before = |back: usize| at.checked_sub(back).map_or("", |place| tokens[place].text);
        match (token.kind, before(1)) {
            (Kind::Mark, _) if token.text == "*" => {
                return Err(ExpressionError::Syntax("the operator \"*\" is not available".into()));
            }
            (Kind::Name, "|") => names.filters.push(token.text),
            (Kind::Name, "is") if token.text != "not" => names.tests.push(token.text),
            (Kind::Name, "not") if before(2) == "is" => names.tests.push(token.text),
            (Kind::Name, ".") => {}
            (Kind::Name, _) if KEYWORDS.contains(&token.text) => {}
            (Kind::Name, _) if next == "=" && tokens.get(at + 2).is_none_or(|token| token.text != "=") => {}
            (Kind::Name, _) => {
                let (reference, after) = chain(&tokens, at);
                names.references.push(reference);
                if names.references.len() > REFERENCES_MAX {
                    return Err(ExpressionError::TooManyReferences);
                }
                at = after;
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    Ok(names)
}

/// The reference that begins at token `at`, and the token after it.
fn chain(tokens: &[Token<'_>], at: usize) -> (Reference, usize) {
    let first = &tokens[at];
    let mut reference =
        Reference { path: vec![first.text.into()], dynamic: false, start: first.start, end: first.end() };
    let mut at = at + 1;
    loop {
        let text = |ahead: usize| tokens.get(at + ahead).map_or("", |token| token.text);
        let kind = |ahead: usize| tokens.get(at + ahead).map(|token| token.kind);
        if text(0) == "." && matches!(kind(1), Some(Kind::Name | Kind::Number)) {
            reference.path.push(text(1).into());
            at += 2;
        } else if text(0) == "[" && text(2) == "]" && kind(1) == Some(Kind::Quoted) && !text(1).contains('\\')
        {
            reference.path.push(text(1)[1..text(1).len() - 1].into());
            at += 3;
        } else {
            reference.dynamic = text(0) == "[";
            return (reference, at);
        }
        reference.end = tokens[at - 1].end();
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Name,
    Number,
    Quoted,
    /// One character of punctuation.
    Mark,
}

#[derive(Clone, Copy, Debug)]
struct Token<'t> {
    kind: Kind,
    text: &'t str,
    start: usize,
}

impl Token<'_> {
    fn end(&self) -> usize {
        self.start + self.text.len()
    }
}

struct Tokens<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Tokens<'t> {
    fn new(text: &'t str) -> Tokens<'t> {
        Tokens { text, at: 0 }
    }
}

impl<'t> Iterator for Tokens<'t> {
    type Item = Result<Token<'t>, ExpressionError>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.text[self.at..].trim_start();
        let start = self.text.len() - rest.len();
        let first = rest.chars().next()?;
        let run = |allowed: fn(u8) -> bool| rest.bytes().take_while(|byte| allowed(*byte)).count();
        let (kind, length) = match first {
            'a'..='z' | 'A'..='Z' | '_' => (Kind::Name, run(|b| b.is_ascii_alphanumeric() || b == b'_')),
            '0'..='9' => (Kind::Number, run(|b| b.is_ascii_alphanumeric() || b == b'_')),
            '"' | '\'' => match quoted(rest) {
                Some(length) => (Kind::Quoted, length),
                None => return Some(Err(ExpressionError::Syntax("a text has no closing quote".into()))),
            },
            other => (Kind::Mark, other.len_utf8()),
        };
        self.at = start + length;
        Some(Ok(Token { kind, text: &rest[..length], start }))
    }
}

/// Length of the quoted text at the beginning, quotes included.
fn quoted(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 1,
            byte if byte == bytes[0] => return Some(at + 1),
            _ => {}
        }
        at += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(expression: &str, expected: &[&str]) {
        let found: Vec<String> = references(expression)
            .unwrap()
            .iter()
            .map(|reference| {
                assert!(expression[reference.start..reference.end].starts_with(&reference.path[0]));
                format!("{}{}", reference.path.join("/"), if reference.dynamic { "[]" } else { "" })
            })
            .collect();
        assert_eq!(found, expected, "{expression}");
    }

    #[test]
    fn references_of_expressions() {
        check(
            "inputs.region == 'inputs.no' and not tasks.check.outputs.ok",
            &["inputs/region", "tasks/check/outputs/ok"],
        );
        check("tasks[\"a-b\"].outputs['n'] > 3", &["tasks/a-b/outputs/n"]);
        check("inputs[item].x | default(value=attempt)", &["inputs[]", "item", "attempt"]);
        check("item is not defined or item is eq run.id", &["item", "item", "run/id"]);
        check("{'a': item.0}", &["item/0"]);
        check("1 if true else none", &[]);
        check("f(x=1, y==2)", &["f", "y"]);
    }

    #[test]
    fn pieces_of_templates() {
        let text = "a{{ {'k': {'j': '}}'}} }}b{% x %}{{c}}";
        let expected = [
            Piece::Text("a"),
            Piece::Expression(" {'k': {'j': '}}'}} ", 3),
            Piece::Text("b{% x %}"),
            Piece::Expression("c", 35),
        ];
        assert_eq!(pieces(text).unwrap(), expected);
        for bad in ["{{", "{{ 'a }}", "{{- a }}", "{{ { }}"] {
            assert!(pieces(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn bounds_of_expressions() {
        assert!(pieces(&"{{ x }} ".repeat(EXPRESSIONS_MAX)).is_ok());
        assert_eq!(pieces(&"{{ x }}".repeat(EXPRESSIONS_MAX + 1)), Err(ExpressionError::TooManyExpressions));
        assert_eq!(references(&"x".repeat(EXPRESSION_BYTES_MAX + 1)), Err(ExpressionError::TooLong));
        assert_eq!(references(&"x~".repeat(REFERENCES_MAX + 1)), Err(ExpressionError::TooManyReferences));
        assert!(matches!(references("'a' * 3"), Err(ExpressionError::Syntax(_))));
    }
}
