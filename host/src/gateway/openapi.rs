//! The OpenAPI document, made from the handlers' own descriptions.

use bulkhead_protocol::id::{FunctionId, TaskId};
use utoipa::OpenApi;

use super::{api, batch, first, functions, invoke, pages, tasks};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Bulkhead",
        description = "Runs native functions as a service, each call in its own watertight process. \
                       Every error is `application/problem+json` (RFC 9457); its `type` is a page of this server.",
    ),
    paths(
        first::register_function, first::execute_function, first::status, first::result,
        functions::register, functions::list, functions::describe, functions::versions, functions::remove,
        functions::set_alias, invoke::invoke,
        tasks::submit, tasks::list, tasks::get, tasks::result, tasks::logs, tasks::cancel, batch::submit,
        pages::healthz, pages::readyz, pages::error_page,
    ),
    components(schemas(FunctionId, TaskId, api::Problem, api::BatchAnswer)),
    tags(
        (name = "first endpoints", description = "Register, execute, status, result. These shapes stay for ever."),
        (name = "functions", description = "What can run."),
        (name = "tasks", description = "What shall run, runs and ran."),
        (name = "server", description = "The server itself."),
    ),
)]
struct Document;

/// The document.
pub(super) fn document() -> utoipa::openapi::OpenApi {
    Document::openapi()
}
