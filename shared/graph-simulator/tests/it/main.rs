//! The simulator as its clients see it: over HTTP, with a clock the test owns.

#[cfg(test)]
mod world;

#[cfg(test)]
#[path = "../slice/mod.rs"]
mod slice;

#[cfg(test)]
mod catalogue_files;
#[cfg(test)]
mod connections;
#[cfg(test)]
mod contract;
#[cfg(test)]
mod declared;
#[cfg(test)]
mod declared_calls;
#[cfg(test)]
mod export;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod goals;
#[cfg(test)]
mod journal;
#[cfg(test)]
mod schedule;
#[cfg(test)]
mod script;
#[cfg(test)]
mod tokens;
#[cfg(test)]
mod variants;
