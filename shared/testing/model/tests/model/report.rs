//! Runs the checker, says what it explored, and tells the shortest way to whatever it found.

use std::time::Instant;

use stateright::{Checker, HasDiscoveries, Model, Path};

use crate::actions::Action;
use crate::checked::{Checked, Configuration};
use crate::properties::is_invariant;
use crate::world::World;

/// Explores all of it: nothing may break, and everything named must be reached.
pub(crate) fn holds(name: &str, configuration: Configuration) {
    let name = format!("{name} {:?}", configuration.work);
    let checker = explore(&name, configuration, HasDiscoveries::AnyFailures);
    let found = checker.discoveries();
    let mut broken = found.iter().filter(|(name, _)| is_invariant(name));
    if let Some((invariant, path)) = broken.next() {
        panic!("{name}: {invariant}\n{}", trace(path));
    }
    for wanted in &checker.model().configuration.reached {
        assert!(
            found.contains_key(wanted),
            "{name}: never reached: {wanted}"
        );
    }
}

/// Explores until this breaks.
pub(crate) fn breaks(name: &str, invariant: &'static str, configuration: Configuration) {
    let until = HasDiscoveries::AllOf([invariant].into());
    let checker = explore(name, configuration, until);
    let path = checker.discovery(invariant);
    let path = path.unwrap_or_else(|| panic!("{name}: not caught"));
    let length = path.clone().into_actions().len();
    println!("{name}: {invariant}, in {length} steps\n{}", trace(&path));
}

fn explore(
    name: &str,
    configuration: Configuration,
    until: HasDiscoveries,
) -> impl Checker<Checked> {
    let began = Instant::now();
    let model = Checked::new(configuration);
    let checker = model.checker().finish_when(until).spawn_bfs().join();
    println!(
        "{name}: {} states, {} of them different, depth {}, {:.1} s",
        checker.state_count(),
        checker.unique_state_count(),
        checker.max_depth(),
        began.elapsed().as_secs_f64(),
    );
    checker
}

fn trace(path: &Path<World, Action>) -> String {
    let actions = path.clone().into_actions();
    let steps = actions.iter().map(|action| format!("    {action:?}\n"));
    steps.collect()
}
