//! Pages that need no sign-in: the sign-in page, and problem pages.

use maud::{Markup, html};
use meshtrail_api::problem::ProblemBody;

use super::layout::{Document, Shell};
use super::nav::Nav;

/// The sign-in page; `to` is the path to go to afterwards.
pub fn sign_in_page(to: &str, banner: Option<&str>) -> Document {
    document("Sign in", Nav::None, &sign_in(to), banner)
}

/// The page of a problem at `path`.
pub fn problem_page(body: &ProblemBody, path: &str, banner: Option<&str>) -> Document {
    // Whoever is not signed in sees only the way to sign in.
    let nav = if body.status == 401 { Nav::None } else { Nav::of_path(path) };
    document(&body.title, nav, &problem(body, nav), banner)
}

fn document(title: &str, nav: Nav, content: &Markup, banner: Option<&str>) -> Document {
    Shell { title, nav, viewer: None, trail_status: None, plays: false, banner }.document(content)
}

fn sign_in(to: &str) -> Markup {
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
fn problem(problem: &ProblemBody, nav: Nav) -> Markup {
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
