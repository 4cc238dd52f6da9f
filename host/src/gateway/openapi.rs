//! The OpenAPI document, made from the handlers' own descriptions.

use bulkhead_protocol::id::{FunctionId, TaskId};
use utoipa::OpenApi;
use utoipa::openapi::{ContentBuilder, Ref, Response, ResponseBuilder};

use super::{api, batch, first, functions, invoke, pages, tasks, workers};

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
        tasks::submit, tasks::list, tasks::get, tasks::result, tasks::logs, tasks::cancel, tasks::dead_letters,
        batch::submit, workers::list, workers::drain,
        pages::healthz, pages::readyz, pages::error_page,
    ),
    components(schemas(FunctionId, TaskId, api::Problem, api::BatchAnswer)),
    tags(
        (name = "first endpoints", description = "Register, execute, status, result. These shapes stay for ever."),
        (name = "functions", description = "What can run."),
        (name = "tasks", description = "What shall run, runs and ran."),
        (name = "workers", description = "Who runs it."),
        (name = "server", description = "The server itself."),
    ),
)]
struct Document;

/// The document.
pub(super) fn document() -> utoipa::openapi::OpenApi {
    let mut document = Document::openapi();
    for path in document.paths.paths.values_mut() {
        let operations = [&mut path.get, &mut path.put, &mut path.post, &mut path.delete];
        for operation in operations.into_iter().flatten() {
            // Everything but the pages about the server itself asks the store.
            if operation.tags.iter().flatten().all(|tag| tag != "server") {
                operation.responses.responses.entry("503".to_owned()).or_insert_with(|| store_down().into());
            }
        }
    }
    document
}

fn store_down() -> Response {
    let problem = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
    ResponseBuilder::new()
        .description("The store does not answer, and nothing was acknowledged; `Retry-After` says when to try again.")
        .content(api::PROBLEM_JSON, problem)
        .build()
}
