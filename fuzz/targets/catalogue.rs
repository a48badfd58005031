//! Fuzzes catalogue files: what is taken has calls below the version of Graph's API only, and is not sent twice if it says so.

#![no_main]

use courier_core::catalogue::{Absent, Operation, Restart};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let operation = match Operation::parse(text, &[]) {
        Ok(operation) => operation,
        Err(faults) => {
            assert!(!faults.is_empty());
            let lines = text.lines().count();
            assert!(faults.iter().all(|fault| fault.line <= lines + 1));
            return;
        }
    };
    for (_, path) in operation.calls() {
        assert!(path.starts_with('/') && !path.starts_with("//"));
        assert!(!path.contains("..") && !path.contains('#') && !path.contains('\\'));
    }
    if operation.restart == Restart::Never {
        assert!(operation.start.early.is_empty());
        assert!(operation.find.is_none_or(|find| find.absent == Absent::Unknown));
    }
});
