//! The model that stateright explores: the state that each action leads to.

use std::collections::HashMap;
use std::sync::Mutex;

use stateright::{Model, Property};

use crate::actions::{Action, VISITS};
use crate::properties;
use crate::rulebook::Rulebook;
use crate::variants::Variant;
use crate::words::{Clock, Happening, Kind, Place, Ticket};
use crate::works::Work;
use crate::world::{Broken, Budget, Chance, Doing, Operation, Process, Role, View, World};

/// One configuration of the model.
#[derive(Debug, Clone)]
pub(crate) struct Configuration {
    pub(crate) work: Work,
    pub(crate) operations: u8,
    pub(crate) with_callback: bool,
    /// The end is announced as an event.
    pub(crate) announced: bool,
    /// Poll messages stay in the queue; that they lead to the end is asked of every state all the same (I8).
    pub(crate) only_starts: bool,
    /// Requests of the caller for each operation: the second is its retry.
    pub(crate) requests: u8,
    /// The retry does not wait until the first request is dead.
    pub(crate) impatient: bool,
    pub(crate) workers: usize,
    pub(crate) clocks: &'static [Clock],
    pub(crate) budget: Budget,
    /// Messages may be missing until the sweeper comes.
    pub(crate) swept: bool,
    /// The states that must be reachable, by the name of the property.
    pub(crate) reached: Vec<&'static str>,
    pub(crate) variant: Option<Variant>,
    /// Graph does not answer 409: shows that I2 can fail.
    pub(crate) forgetful_graph: bool,
}

#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) rules: Rulebook,
    pub(crate) variant: Option<Variant>,
    pub(crate) lined_up: bool,
    pub(crate) forgetful_graph: bool,
    pub(crate) configuration: Configuration,
    /// States of which it is known whether they lead on to the end.
    pub(crate) drained: Mutex<HashMap<World, bool>>,
}

impl Checked {
    pub(crate) fn new(configuration: Configuration) -> Self {
        let variant = configuration.variant;
        Self {
            rules: Rulebook::new(
                configuration.work,
                (configuration.with_callback, configuration.announced),
                configuration.clocks,
                variant,
            ),
            variant,
            lined_up: configuration.operations > 1,
            forgetful_graph: configuration.forgetful_graph,
            configuration,
            drained: Mutex::default(),
        }
    }

    /// An action of the process at `place`, which it takes out of the world.
    fn act(&self, world: &mut World, action: Action, place: usize) {
        let process = world.processes.remove(place);
        match (action, process.doing) {
            (Action::Go(_), Doing::Repeat(what, verdict)) => {
                self.repeat(world, process, what, verdict);
            }
            (Action::Go(_), _) => self.go(world, process),
            (Action::Commit(_, clock), Doing::Decide(what)) => {
                if self.outlived(world, process.operation, process.copy, what, clock)
                    && world.budget.allows(Chance::Outlived)
                {
                    world.budget.take(Chance::Outlived);
                }
                self.commit(world, process, what, clock);
            }
            (Action::Unanswered(_, clock), Doing::Decide(what)) => {
                world.budget.take(Chance::Unanswered);
                self.unanswered(world, process, what, clock);
            }
            (Action::NotReady(_), _) => {
                world.budget.take(Chance::Hiccup);
                let doing = Doing::Decide(Happening::NotReady);
                world.add(Process { doing, ..process });
            }
            (Action::Post(_, fate), Doing::Post(attempt)) => {
                self.post(world, process, attempt, fate);
            }
            (Action::Ask(_, reply), _) => self.ask(world, process, reply),
            (Action::Call(_, reply), Doing::Announce) => self.announce(world, process, reply),
            (Action::Call(_, reply), _) => self.call(world, process, reply),
            (Action::Park(_), _) => self.park(world, process),
            (Action::Crash(_), _) => world.budget.take(Chance::Crash),
            (Action::GiveUp(_), doing) => {
                if !matches!(doing, Doing::Repeat(..)) {
                    world.budget.take(Chance::Crash);
                }
                if process.role == Role::Caller {
                    world.operation(process.operation).acknowledged = true;
                }
            }
            (Action::Stumble(_, clock), _) => {
                world.budget.take(Chance::Stumble);
                self.visit(world, process.operation, Happening::StepCrashed, clock);
            }
            (Action::DeleteInVain(_), _) => world.budget.take(Chance::Duplicate),
            _ => unreachable!("{action:?} of {process:?}"),
        }
    }

    /// The actions that need no process of ours, or begin one; nothing for the actions of one.
    fn happen(&self, world: &mut World, action: Action) {
        match action {
            Action::Request(operation) => self.request(world, operation),
            Action::Deliver(ticket, clock) => {
                if !world.is_free(ticket) {
                    world.budget.take(Chance::Duplicate);
                }
                let record = world.operation(ticket.operation).record;
                let what = Happening::Arrived(ticket);
                if let Some(record) = record
                    && self.outlived(world, ticket.operation, record, what, clock)
                    && world.budget.allows(Chance::Outlived)
                {
                    world.budget.take(Chance::Outlived);
                }
                self.deliver(world, ticket, clock);
            }
            Action::ApplyLate(operation) => self.applies_late(world, operation),
            Action::StartLate(operation) => {
                world.operation(operation).on_the_wire -= 1;
                self.process_start(world, operation, false);
            }
            Action::Visit(operation, what, clock) => {
                let visit = VISITS.iter().find(|(_, visit)| *visit == what);
                if let Some((chance, _)) = visit {
                    world.budget.take(*chance);
                }
                self.visit(world, operation, what, clock);
            }
            Action::Lose(ticket) => {
                world.budget.take(Chance::LostMessage);
                world.delete(ticket);
            }
            Action::Forge(operation) => {
                world.budget.take(Chance::Forged);
                let place = Place::Foreign;
                let kind = Kind::Poll { epoch: 9, place };
                world.send(Ticket { operation, kind });
            }
            Action::Renew(ticket) => {
                world.budget.take(Chance::Renewal);
                let operation = ticket.operation;
                if let Some(copy) = world.operation(operation).record {
                    let doing = Doing::Send(ticket.renewed(), crate::words::Then::Drop);
                    let (role, view) = (Role::Worker(ticket), View::Current);
                    world.add(Process {
                        role,
                        operation,
                        copy,
                        view,
                        doing,
                    });
                }
            }
            Action::Go(_)
            | Action::Commit(..)
            | Action::Unanswered(..)
            | Action::NotReady(_)
            | Action::Post(..)
            | Action::Ask(..)
            | Action::Call(..)
            | Action::Park(_)
            | Action::Crash(_)
            | Action::GiveUp(_)
            | Action::Stumble(..)
            | Action::DeleteInVain(_) => {}
        }
    }
}

impl Model for Checked {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        let operation = Operation {
            record: None,
            requests: 0,
            acknowledged: false,
            jobs: Vec::new(),
            completed: false,
            on_the_wire: 0,
            lingering: None,
            received: None,
            receptions: 0,
            heard: None,
            told: false,
            taken: 0,
            ended_writes: 0,
            came_late: false,
            may_have_run: false,
            restarted: 0,
            seen: 0,
        };
        vec![World {
            operations: vec![operation; self.configuration.operations.into()],
            queue: Vec::new(),
            processes: Vec::new(),
            budget: self.configuration.budget,
            line: [None; 2],
            joined: [None; 2],
            schedule: None,
            broken: Broken::default(),
        }]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        for number in 0..self.configuration.operations {
            let operation = &world.operations[usize::from(number)];
            let waits = !self.configuration.impatient
                && world
                    .processes
                    .iter()
                    .any(|process| process.role == Role::Caller && process.operation == number);
            if operation.requests < self.configuration.requests && !operation.acknowledged && !waits
            {
                actions.push(Action::Request(number));
            }
            self.visits(world, number, actions);
        }
        self.deliveries(world, actions);
        for place in 0..world.processes.len() {
            if place == 0 || world.processes[place] != world.processes[place - 1] {
                self.process_actions(world, place, actions);
            }
        }
    }

    fn next_state(&self, last: &World, action: Action) -> Option<World> {
        let mut world = last.clone();
        match action {
            Action::Go(place)
            | Action::Commit(place, _)
            | Action::Unanswered(place, _)
            | Action::NotReady(place)
            | Action::Post(place, _)
            | Action::Ask(place, _)
            | Action::Call(place, _)
            | Action::Park(place)
            | Action::Crash(place)
            | Action::GiveUp(place)
            | Action::Stumble(place, _)
            | Action::DeleteInVain(place) => self.act(&mut world, action, place),
            Action::Request(_)
            | Action::Deliver(..)
            | Action::ApplyLate(_)
            | Action::StartLate(_)
            | Action::Visit(..)
            | Action::Lose(_)
            | Action::Forge(_)
            | Action::Renew(_) => self.happen(&mut world, action),
        }
        // A fault that changes nothing but what may still happen leads nowhere new.
        let budget = std::mem::replace(&mut world.budget, last.budget);
        let new = world != *last;
        world.budget = budget;
        new.then_some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::all(self)
    }

    fn within_boundary(&self, world: &World) -> bool {
        self.within_jobs(world)
            && world.operations.iter().all(|operation| {
                let facts = operation.record.map(|record| self.rules.facts(record));
                // The epochs of messages that replace others begin after the revision, which is 100.
                facts.is_none_or(|facts| facts.attempt <= 3 && facts.epoch % 100 <= 12)
            })
    }
}
