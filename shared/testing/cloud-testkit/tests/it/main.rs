//! The kit against itself: every stand-in does what AWS does, shown with a Lambda in Python and a real MiniStack.

#![cfg(test)]

mod clock;
mod disk;
mod function;
mod gateway;
mod mapping;
mod ministack;
mod proxy;
mod python;
mod support;
