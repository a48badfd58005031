//! The trace of a run, line by line. Two runs of a seed are the same when their traces have the same hash.

use std::collections::VecDeque;

/// Lines that are kept for the report of a failure.
const KEPT: usize = 400;

#[derive(Debug)]
pub(crate) struct Trace {
    hash: u64,
    lines: u64,
    last: VecDeque<String>,
    print: bool,
}

impl Trace {
    pub(crate) fn new(print: bool) -> Self {
        Self {
            hash: 0xcbf2_9ce4_8422_2325,
            lines: 0,
            last: VecDeque::new(),
            print,
        }
    }

    pub(crate) fn add(&mut self, line: String) {
        // FNV-1a.
        for byte in line.bytes().chain([b'\n']) {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        self.lines += 1;
        if self.print {
            #[expect(clippy::print_stdout, reason = "what the command is for")]
            {
                println!("{line}");
            }
        }
        if self.last.len() == KEPT {
            self.last.pop_front();
        }
        self.last.push_back(line);
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    pub(crate) fn lines(&self) -> u64 {
        self.lines
    }

    /// The last lines that name `what`; all of the last ones for an empty text.
    pub(crate) fn last(&self, what: &str) -> Vec<String> {
        let named = self.last.iter().filter(|line| line.contains(what));
        named.cloned().collect()
    }
}
