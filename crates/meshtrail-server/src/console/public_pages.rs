//! The content of pages that need no sign-in: the sign-in page, and problem pages.

use maud::{Markup, html};

use super::nav::Nav;
use meshtrail_api::problem::ProblemBody;

/// The sign-in page; `to` is the path to go to afterwards.
pub(crate) fn sign_in(to: &str) -> Markup {
    html! {
        div.narrow {
            h1 { "Sign in" }
            section {
                h2 { "With your tailnet identity" }
                p {
                    "The server asks its tailscaled who owns the address you come from. "
                    "Your role follows from the configuration; there is nothing to type."
                }
                form method="post" action="/sign-in/tailnet" {
                    input type="hidden" name="to" value=(to);
                    button.main type="submit" { "Sign in as who I am in the tailnet" }
                }
            }
            section {
                h2 { "With a link, on the server's own machine" }
                p {
                    code { "meshtrail serve" }
                    " prints a link when it is started in a terminal. It works once, and makes you admin. For a fresh one:"
                }
                pre.command { code.copy data-copy="meshtrail sign-in" { "meshtrail sign-in" } }
            }
            section {
                h2 { "With an API token" }
                form.token method="post" action="/sign-in/token" {
                    input type="hidden" name="to" value=(to);
                    input type="password" name="token" aria-label="API token" autocomplete="off" placeholder="mt_…" required;
                    button type="submit" { "Sign in" }
                }
            }
            p.q.small { "Signing in, and every attempt that was turned down, is an event in the trail." }
        }
    }
}

/// What happened, what was kept, what to do next; `nav` is the section of the path that failed.
pub(crate) fn problem(problem: &ProblemBody, nav: Nav) -> Markup {
    let (path, name) = nav.entry().unwrap_or(("/events", "Timeline"));
    html! {
        div.narrow {
            p.crumb { span.n { (problem.status) } }
            h1 { (problem.title) }
            p { (super::format::untrusted(&meshtrail_event::text::sentence_case(&problem.detail))) }
            @if let Some(field) = &problem.field { p.q { "What is meant: " code { (super::format::untrusted(field)) } } }
            @if problem.status >= 500 { p { "Nothing that was recorded is affected: what has been acknowledged is on disk." } }
            p.acts {
                @if problem.status == 401 { a.button href="/sign-in" { "Sign in" } }
                @else { a.button href=(path) data-back { "Back to " (name.to_lowercase()) } }
            }
            p.q.small { "In the server's log under " (super::format::identifier(&problem.id, 40)) }
        }
    }
}
