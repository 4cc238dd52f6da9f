//! One call, from the request to the response.

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};

use bulkhead_abi::{Request, Response, encoding, response_kind};
use serde::Serialize;
use serde_json::json;

use crate::{
    Context, Error,
    arguments::{self, Arguments, InvalidInput},
    codec::EncodeFault,
    function::{Descriptor, Task},
    output::{Output, cut},
    panics,
};

/// The most bytes of an error's code or of a path into the arguments: words, not texts.
const MAX_WORD_BYTES: usize = 1024;

/// A call that is under way.
pub struct Call<'a> {
    /// How the arguments are encoded and the result is to be.
    encoding: u8,
    /// The encoded arguments.
    input: &'a [u8],
    /// The names of the arguments.
    names: &'static [&'static str],
    /// Where the result goes.
    output: Output<'a>,
    /// What the function may see.
    context: Context,
    /// How the call ended, once it did.
    response: Option<Response>,
}

/// Runs `descriptor`'s function for `request`. Never unwinds.
pub(crate) fn run(descriptor: Option<&Descriptor>, request: Request<'_>) -> Response {
    let Some(descriptor) = descriptor else {
        return respond(response_kind::NO_SUCH_FUNCTION, 0);
    };
    // The runner has done this at load; a test has not.
    panics::install_hook();
    let mut call = Call {
        encoding: request.encoding,
        input: request.input.as_slice(),
        names: descriptor.declaration.parameters,
        output: Output::new(request.output),
        context: Context::new(
            request.task_id,
            request.attempt,
            request.deadline_ns,
            request.config.as_slice(),
            request.host,
        ),
        response: None,
    };
    // Nothing that the panic may have left half done is used again: the output is written from its start.
    let entered = catch_unwind(AssertUnwindSafe(|| {
        (descriptor.entry)(Task::Call(&mut call));
    }));
    // The process ends without destructors, so what was printed without a line's end would be lost.
    let _ = std::io::stdout().flush();
    match entered {
        Ok(()) => call.response.unwrap_or(respond(response_kind::NO_SUCH_FUNCTION, 0)),
        Err(payload) => call.panicked(payload),
    }
}

fn respond(kind: u8, length: usize) -> Response {
    Response { kind, length: length as u64 }
}

impl Call<'_> {
    /// Reads the arguments; when they do not fit, that is the response.
    pub(crate) fn arguments<A: Arguments>(&mut self) -> Option<A> {
        let read = match self.encoding {
            encoding::JSON => arguments::from_json(self.input, self.names),
            encoding::BINCODE => arguments::from_bincode(self.input, self.names),
            other => Err(InvalidInput {
                path: "args".to_owned(),
                message: format!("expected JSON or bincode, found encoding {other}"),
            }),
        };
        read.map_err(|fault| self.refuse(&fault)).ok()
    }

    pub(crate) fn context(&self) -> &Context {
        &self.context
    }

    /// Writes what the function returned.
    pub(crate) fn finish<T: Serialize>(&mut self, returned: Result<T, Error>) {
        let response = match returned {
            Err(error) => self.fail(&error),
            Ok(result) => match self.output.write_result(self.encoding, &result) {
                Ok(length) => respond(response_kind::SUCCEEDED, length),
                Err(fault) => self.unencoded(fault),
            },
        };
        self.response = Some(response);
    }

    fn refuse(&mut self, fault: &InvalidInput) {
        let path = cut(&fault.path, MAX_WORD_BYTES);
        let length = self.output.write_failure(&fault.message, |message| json!({ "path": path, "message": message }));
        self.response = Some(respond(response_kind::INVALID_INPUT, length));
    }

    fn fail(&mut self, error: &Error) -> Response {
        let code = cut(error.code(), MAX_WORD_BYTES);
        let length = self.output.write_failure(
            error.message(),
            |message| json!({ "code": code, "message": message, "retryable": error.is_retryable() }),
        );
        respond(response_kind::FUNCTION_ERROR, length)
    }

    fn unencoded(&mut self, fault: EncodeFault) -> Response {
        match fault {
            EncodeFault::TooLarge => {
                let limit = self.output.limit();
                let length = self.output.write_failure("", |_| json!({ "limit": limit }));
                respond(response_kind::RESULT_TOO_LARGE, length)
            }
            EncodeFault::NotEncodable(message) => {
                let length = self.output.write_failure(&message, |message| json!({ "message": message }));
                respond(response_kind::RESULT_NOT_ENCODABLE, length)
            }
        }
    }

    fn panicked(&mut self, payload: Box<dyn std::any::Any + Send>) -> Response {
        let (message, location) = panics::message_and_location(payload);
        let location = cut(&location, MAX_WORD_BYTES);
        let length = self.output.write_failure(&message, |message| json!({ "message": message, "location": location }));
        respond(response_kind::PANICKED, length)
    }
}

impl std::fmt::Debug for Call<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Inputs and results are the caller's business.
        formatter
            .debug_struct("Call")
            .field("encoding", &self.encoding)
            .field("context", &self.context)
            .finish_non_exhaustive()
    }
}
