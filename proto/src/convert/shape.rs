//! Shapes of task runs: a frame names each once.
//! Must not know which frames name them.

use std::sync::Arc;

use hortator_core::dispatch::{LabelRule, LabelTest, REQUESTS_MAX, Shape, ZoneWish};
use hortator_core::time::Span;

use super::enumerations::Choice;
use super::{id, narrow, need, unknown_kind};
use crate::error::Unreadable;
use crate::generated::id::{Amounts as AmountsMessage, Nothing};
use crate::generated::placement as wire;

/// The shapes of a message, each once, in order of first use.
#[derive(Debug, Default)]
pub(crate) struct ShapeTable<'a>(Vec<&'a Arc<Shape>>);

impl<'a> ShapeTable<'a> {
    pub(crate) fn place(&mut self, shape: &'a Arc<Shape>) -> u32 {
        let same = |known: &&Arc<Shape>| Arc::ptr_eq(known, shape) || **known == *shape;
        let place = match self.0.iter().rposition(same) {
            Some(place) => place,
            None => {
                self.0.push(shape);
                self.0.len() - 1
            }
        };
        u32::try_from(place).expect("a message names fewer shapes than fit into memory")
    }

    pub(crate) fn messages(&self) -> Vec<wire::Shape> {
        self.0.iter().map(|shape| shape_message(shape)).collect()
    }
}

fn shape_message(shape: &Shape) -> wire::Shape {
    let (zone, zone_wait) = match &shape.zone {
        ZoneWish::Anywhere => (None, 0),
        ZoneWish::Near { zone, wait } => (Some(zone.clone()), wait.0),
    };
    let request = |amounts: &hortator_core::dispatch::Amounts| AmountsMessage {
        of: amounts.clone().into(),
        ..Default::default()
    };
    wire::Shape {
        group: shape.group.to_string(),
        kind: shape.kind.wire(),
        namespace: shape.namespace.to_string(),
        requests: shape.requests.iter().map(request).collect(),
        labels: shape.labels.iter().map(rule_message).collect(),
        zone,
        zone_wait,
        ..Default::default()
    }
}

fn rule_message(rule: &LabelRule) -> wire::LabelRule {
    use wire::label_rule::Rule;
    let rule = match rule {
        LabelRule::Require(test) => Rule::Require(test_message(test)),
        LabelRule::Prefer { test, weight } => Rule::Prefer(wire::Preference {
            test: Some(test_message(test)).into(),
            weight: u32::from(*weight),
            ..Default::default()
        }),
        LabelRule::Spread { key } => Rule::Spread(key.to_string()),
    };
    wire::LabelRule { rule: Some(rule), ..Default::default() }
}

fn test_message(test: &LabelTest) -> wire::LabelTest {
    use wire::label_test::Test;
    let texts = |values: &[String]| wire::Texts { texts: values.to_vec(), ..Default::default() };
    let (key, test) = match test {
        LabelTest::Is { key, values } => (key, Test::Is(texts(values))),
        LabelTest::IsNot { key, values } => (key, Test::IsNot(texts(values))),
        LabelTest::Has { key } => (key, Test::Has(Nothing::default())),
    };
    wire::LabelTest { key: key.to_string(), test: Some(test), ..Default::default() }
}

pub(crate) fn shapes(messages: Vec<wire::Shape>) -> Result<Vec<Arc<Shape>>, Unreadable> {
    messages.into_iter().map(|message| Ok(Arc::new(shape(message)?))).collect()
}

fn shape(message: wire::Shape) -> Result<Shape, Unreadable> {
    let requests = message.requests.len();
    if requests == 0 || requests > REQUESTS_MAX {
        return Err(Unreadable::Range { what: "number of requests", value: requests as u64 });
    }
    let requests = message.requests.into_iter().map(|request| Ok(request.of.try_into()?));
    let zone = match message.zone {
        None => ZoneWish::Anywhere,
        Some(zone) => ZoneWish::Near { zone, wait: Span(message.zone_wait) },
    };
    Ok(Shape {
        group: id::name(message.group)?,
        namespace: id::name(message.namespace)?,
        kind: Choice::read(message.kind)?,
        requests: requests.collect::<Result<_, Unreadable>>()?,
        labels: message.labels.into_iter().map(rule).collect::<Result<_, _>>()?,
        zone,
    })
}

fn rule(message: wire::LabelRule) -> Result<LabelRule, Unreadable> {
    use wire::label_rule::Rule;
    Ok(match message.rule {
        Some(Rule::Require(message)) => LabelRule::Require(test(message)?),
        Some(Rule::Prefer(message)) => {
            let weight = narrow(message.weight, "weight of a preference")?;
            LabelRule::Prefer { test: test(need(message.test, "test of a label")?)?, weight }
        }
        Some(Rule::Spread(key)) => LabelRule::Spread { key: id::name(key)? },
        None => return Err(unknown_kind("rule about labels", &message.special_fields)),
    })
}

fn test(message: wire::LabelTest) -> Result<LabelTest, Unreadable> {
    use wire::label_test::Test;
    let key = id::name(message.key)?;
    Ok(match message.test {
        Some(Test::Is(values)) => LabelTest::Is { key, values: values.texts },
        Some(Test::IsNot(values)) => LabelTest::IsNot { key, values: values.texts },
        Some(Test::Has(_)) => LabelTest::Has { key },
        None => return Err(unknown_kind("test of a label", &message.special_fields)),
    })
}

pub(crate) fn shape_at(shapes: &[Arc<Shape>], place: u32) -> Result<Arc<Shape>, Unreadable> {
    shapes
        .get(place as usize)
        .cloned()
        .ok_or(Unreadable::Range { what: "place of a shape", value: u64::from(place) })
}
