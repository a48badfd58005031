//! The real `decide`, asked once for every record, event and time: it is pure, so its answers are kept. Records are cut
//! down to what counts before they are stored: times become constants, histories go.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use courier_core::catalogue::{Absent, Operation, Restart};
use courier_core::events::Context;
use courier_core::lifecycle::{Policy, Timing, decide, may_start};
use courier_core::operation::{Delivery, GraphView, Record, State};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, json};
use url::Url;

use crate::bind;
use crate::cutting::cut_down;
use crate::quick_hasher::QuickHasher;
use crate::variants::Variant;
use crate::words::{CLOCKS, Clock, Facts, Happening, Phase, Stored, Verdict};
use crate::works::Work;

/// The revision of a record that nobody has written since its insert; the others all have `LATER_REVISION`.
const FIRST_REVISION: u64 = 1;
pub(crate) const LATER_REVISION: u64 = 100;
/// Looks at a missing monitor until it counts as gone; five in production.
pub(crate) const MISSING_LOOKS: u32 = 2;

#[derive(Debug)]
pub(crate) struct Rulebook {
    pub(crate) work: Work,
    operation: Operation,
    /// With the restart rule of another class, for the variant that breaks it.
    careless: Operation,
    graph: Url,
    timing: Timing,
    with_callback: bool,
    announced: bool,
    clocks: &'static [Clock],
    pub(crate) variant: Option<Variant>,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    records: Vec<Record>,
    facts: Vec<Facts>,
    /// By their text.
    numbers: HashMap<String, Stored>,
    decided: HashMap<(Stored, Happening), Decided, Quickly>,
    /// Event ids and bodies.
    texts: Vec<String>,
}

/// Returns the decisions at each time, and the times at which different things are decided.
#[derive(Debug, Clone, Copy)]
struct Decided {
    verdicts: [Verdict; CLOCKS.len()],
    differ: [bool; CLOCKS.len()],
}

type Quickly = BuildHasherDefault<QuickHasher>;

impl Rulebook {
    pub(crate) fn new(
        work: Work,
        (with_callback, announced): (bool, bool),
        clocks: &'static [Clock],
        variant: Option<Variant>,
    ) -> Self {
        let mut careless = work.operation();
        careless.restart = Restart::Idempotent;
        if let Some(find) = &mut careless.find {
            find.absent = Absent::Restart;
        }
        Self {
            work,
            operation: work.operation(),
            careless,
            graph: Url::parse(bind::GRAPH).expect("a URL"),
            timing: Timing {
                missing_polls: MISSING_LOOKS,
                missing_for_never: Timing::default().missing_for,
                ..Timing::default()
            },
            with_callback,
            announced,
            clocks,
            variant,
            kept: Mutex::default(),
        }
    }

    /// The record as a request puts it into the store.
    pub(crate) fn first(&self, operation: u8) -> Stored {
        let record = accepted(operation, self.work, self.with_callback);
        self.number(&mut self.kept(), record)
    }

    pub(crate) fn facts(&self, stored: Stored) -> Facts {
        self.kept().facts[usize::from(stored.0)]
    }

    pub(crate) fn decide(&self, stored: Stored, happening: Happening, clock: Clock) -> Verdict {
        self.decided(stored, happening).verdicts[clock as usize]
    }

    /// The times at which different things are decided.
    pub(crate) fn clocks(
        &self,
        stored: Stored,
        happening: Happening,
    ) -> impl Iterator<Item = Clock> {
        let differ = self.decided(stored, happening).differ;
        let times = self.clocks.iter().copied();
        times.filter(move |clock| differ[*clock as usize])
    }

    fn decided(&self, stored: Stored, happening: Happening) -> Decided {
        let mut kept = self.kept();
        if let Some(decided) = kept.decided.get(&(stored, happening)) {
            return *decided;
        }
        let record = kept.records[usize::from(stored.0)].clone();
        let verdicts = CLOCKS.map(|clock| self.ask(&mut kept, &record, happening, clock));
        let same = |clock: Clock, place| verdicts[clock as usize] == verdicts[place];
        let earlier = self.clocks.iter().copied();
        let first = |place| {
            earlier
                .clone()
                .take_while(|clock| (*clock as usize) < place)
                .all(|clock| !same(clock, place))
        };
        let differ = [first(0), first(1), first(2)];
        let decided = Decided { verdicts, differ };
        kept.decided.insert((stored, happening), decided);
        decided
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().expect("no panic while it was held")
    }

    fn ask(&self, kept: &mut Kept, record: &Record, what: Happening, clock: Clock) -> Verdict {
        let (asked, what) = self.twisted(record, what);
        let arrived = matches!(what, Happening::Arrived(_) | Happening::Prepared);
        let looked = matches!(what, Happening::Polled { .. });
        let careless = (arrived && self.variant == Some(Variant::RerunOnExpiredLease))
            || (looked && self.variant == Some(Variant::AbsentIsRestart));
        let policy = Policy {
            token: self.operation.default_token(),
            operation: [&self.operation, &self.careless][usize::from(careless)],
            graph: &self.graph,
            timing: &self.timing,
            shelve_from: None,
            announce: self.announced.then_some(Context {
                source: "https://courier.example",
                base: "",
            }),
        };
        let operation = u8::from(record.id != bind::id(0));
        let event = bind::event(self.work, operation, &asked, what);
        let decision = decide(&asked, &event, time(clock), &policy);
        let mut verdict = Verdict {
            write: None,
            send: decision
                .send
                .map(|(message, _)| bind::ticket(self.work, operation, &message)),
            next: bind::then(&decision.next),
        };
        if let Some(after) = decision.write {
            let mut after = cut_down(record, *after);
            self.spoil(record, &mut after);
            if self.variant == Some(Variant::NewAnnouncementPerAttempt)
                && let (Happening::Announced { .. }, Some(one)) = (what, &mut after.announcement)
            {
                one.event.id = "another announcement".to_owned();
            }
            if self.variant == Some(Variant::NewEventIdPerAttempt)
                && let (Happening::Called { .. }, Some(event)) = (what, &mut after.event)
            {
                event.id = format!("{}_again", bind::id(operation));
            }
            verdict.write = Some(self.number(kept, after));
        }
        if self.variant == Some(Variant::DropWhileStarting)
            && matches!(record.state, State::Starting { .. })
            && matches!(what, Happening::Arrived(_))
            && verdict.next == crate::words::Then::Wait
        {
            verdict.next = crate::words::Then::Drop;
        }
        if self.variant == Some(Variant::LookIsLast)
            && matches!(record.state, State::Locating { .. })
            && matches!(what, Happening::Polled { .. })
            && verdict.next == crate::words::Then::Wait
        {
            verdict.next = crate::words::Then::Drop;
        }
        if self.variant == Some(Variant::ParkedIsGivenUp)
            && matches!(what, Happening::Deferred { .. })
        {
            verdict.next = crate::words::Then::Drop;
        }
        verdict
    }

    fn number(&self, kept: &mut Kept, record: Record) -> Stored {
        let text = serde_json::to_string(&record).expect("a record is JSON");
        if let Some(number) = kept.numbers.get(&text) {
            return *number;
        }
        let number = Stored(u16::try_from(kept.records.len()).expect("few records"));
        let facts = self.facts_of(&record, &mut kept.texts);
        kept.records.push(record);
        kept.facts.push(facts);
        kept.numbers.insert(text, number);
        number
    }

    fn facts_of(&self, record: &Record, texts: &mut Vec<String>) -> Facts {
        let mut known = |text: &String| {
            let place = texts.iter().position(|other| other == text);
            let place = place.unwrap_or_else(|| {
                texts.push(text.clone());
                texts.len() - 1
            });
            u16::try_from(place).expect("few texts")
        };
        let event = record.event.as_ref();
        let announcement = record.announcement.as_ref();
        Facts {
            announcement: announcement.map(|one| (known(&one.event.id), known(&one.event.body))),
            announced: announcement.and_then(|one| one.settled),
            phase: match &record.state {
                State::Accepted { .. } => Phase::Accepted,
                State::Starting { .. } => Phase::Starting,
                State::StartUnknown { .. } => Phase::StartUnknown,
                State::Locating { .. } => Phase::Locating,
                State::Running { .. } => Phase::Running,
                State::Ended { .. } => Phase::Ended,
                State::Closed { how, .. } => Phase::Closed {
                    delivered: *how == courier_core::operation::DeliveryOutcome::Delivered,
                },
            },
            outcome: record.state.outcome(),
            reason: record.reason,
            silent: record.is_silent(),
            starting: record.state.is_starting(),
            settles: matches!(
                record.state,
                State::Locating {
                    settle_until: Some(_),
                    ..
                }
            ),
            follow_up: record
                .follow_up
                .map(|follow_up| (bind::small(follow_up.stage), follow_up.outcome)),
            verified: record.result.is_none(),
            attempt: bind::small(record.attempt),
            epoch: bind::small(record.epoch),
            may_start: may_start(record, base(), &self.timing),
            untouched: record.revision == FIRST_REVISION,
            watched: record.due_at.is_some(),
            adopted: record.adopted,
            sealed: record.sealed_parameters.is_some(),
            monitor: bind::monitor(self.work, record),
            target: bind::target(record),
            event: event.map(|event| (known(&event.id), known(&event.body))),
        }
    }
}

pub(crate) fn base() -> Timestamp {
    "2026-11-21T20:00:00Z".parse().expect("a time")
}

/// When every pause, lease and hold of a stored record is over.
pub(crate) fn timer() -> Timestamp {
    base() + SignedDuration::from_hours(1)
}

pub(crate) fn time(clock: Clock) -> Timestamp {
    base()
        + match clock {
            Clock::Early => SignedDuration::from_mins(1),
            Clock::Due => SignedDuration::from_hours(2),
            Clock::Late => SignedDuration::from_hours(200),
        }
}

fn accepted(operation: u8, work: Work, with_callback: bool) -> Record {
    let sealed = || serde_json::from_value(json!("v1.sealed")).expect("a sealed text");
    Record {
        id: bind::id(operation),
        revision: FIRST_REVISION,
        writer: "w".to_owned(),
        client: "tickets".to_owned(),
        tenant: "contoso".to_owned(),
        operation: work.name().to_owned(),
        reference: None,
        fingerprint: "f".to_owned(),
        parameters: work.parameters(),
        sealed_parameters: Some(sealed()),
        callback: with_callback.then(bind::receiver),
        traceparent: None,
        person: None,
        acknowledged: None,
        tracestate: None,
        created_at: base(),
        deadline: base() + Duration::from_secs(100 * 3600),
        due_at: Some(timer()),
        state: State::Accepted { not_before: base() },
        attempt: 0,
        maybe_started: false,
        token_refused: false,
        epoch: 0,
        step_crashes: 0,
        started_at: None,
        ended_at: None,
        adopted: false,
        reason: None,
        forecast: None,
        graph: GraphView::default(),
        last_monitor: None,
        previous: None,
        resumed_from: None,
        resumed_as: None,
        sealed_result: None,
        follow_up: None,
        result: None,
        error: None,
        event: None,
        delivery: Delivery::default(),
        announcement: None,
        history: Vec::new(),
        chain: None,
        shelved_until: None,
        legal: None,
        erased_at: None,
        unknown: Map::new(),
    }
}
