//! Input, line by line: each error names its line.

use std::io::BufRead;

use crate::outcome::{Failure, REFUSED, wrong};

pub(crate) struct InputLines {
    input: Box<dyn BufRead>,
    name: String,
    line: Vec<u8>,
    number: u64,
    /// Bytes read so far.
    pub(crate) bytes: u64,
}

impl InputLines {
    pub(crate) fn new(input: Box<dyn BufRead>, name: String) -> InputLines {
        InputLines { input, name, line: Vec::new(), number: 0, bytes: 0 }
    }

    /// The next line, without its end; `None` at the end of the input.
    pub(crate) fn next(&mut self) -> Result<Option<&[u8]>, Failure> {
        self.line.clear();
        let count = self.input.read_until(b'\n', &mut self.line);
        let count = count.map_err(|error| {
            let message = format!("cannot read {} after line {}: {error}", self.name, self.number);
            Failure { code: REFUSED, message }
        })?;
        if count == 0 {
            return Ok(None);
        }
        self.number += 1;
        self.bytes += count as u64;
        if self.line.last() == Some(&b'\n') {
            self.line.pop();
        }
        Ok(Some(&self.line))
    }

    /// What the input begins with, as far as it has been read ahead.
    pub(crate) fn beginning(&mut self) -> Result<&[u8], Failure> {
        let name = &self.name;
        self.input.fill_buf().map_err(|error| wrong(format!("cannot read {name}: {error}")))
    }

    /// The line that was read last is wrong.
    pub(crate) fn wrong(&self, problem: impl std::fmt::Display) -> Failure {
        wrong(format!("{}, line {}: {problem}", self.name, self.number))
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }
}
