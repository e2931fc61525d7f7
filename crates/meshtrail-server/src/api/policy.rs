//! Questions to the policy: may this login be, who can reach what, what would another policy open and close.
//!
//! Each is about a moment: the policy in force then, or one that is sent, for the people and devices of then.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use meshtrail_api::policy::{
    DiffAnswer, DiffQuestion, LoginAnswers, LoginQuestion, PolicyInForce, ReachAnswer, ReachQuestion,
};
use meshtrail_event::text::shorten;
use meshtrail_event::{Change, Event, Timestamp};
use meshtrail_policy::{DeviceRef, Policy};
use meshtrail_trail::run_blocking;
use meshtrail_views::policy::{self as view, PolicyUnavailable};

use super::who::{load_directory, parse_at};
use crate::extract::ValidJson;
use crate::problem::Problem;
use crate::state::AppState;

/// Tells whether logins may be, by which rule, and which rules almost matched.
#[utoipa::path(post, path = "/api/v1/policy/explain", tag = "policy", request_body = LoginQuestion,
    responses((status = 200, body = LoginAnswers)))]
pub(crate) async fn explain(
    State(state): State<AppState>,
    ValidJson(question): ValidJson<LoginQuestion>,
) -> Result<Json<LoginAnswers>, Problem> {
    let at = parse_at(question.at.as_deref())?;
    let (policy, in_force) = policy(&state, at, question.policy).await?;
    let pair = (devices(&policy, "from", &question.from)?, devices(&policy, "to", &question.to)?);
    let user = question.user.unwrap_or_else(|| "root".to_owned());
    Ok(Json(run_blocking(move || view::explain(&policy, (&pair.0, &pair.1), &user, at, in_force)).await))
}

/// Tells who can reach a device, the devices with a tag, or those of a person.
#[utoipa::path(post, path = "/api/v1/policy/who-could-reach", tag = "policy", request_body = ReachQuestion,
    responses((status = 200, body = ReachAnswer)))]
pub(crate) async fn who_could_reach(
    State(state): State<AppState>,
    ValidJson(question): ValidJson<ReachQuestion>,
) -> Result<Json<ReachAnswer>, Problem> {
    let at = parse_at(question.at.as_deref())?;
    let (policy, in_force) = policy(&state, at, question.policy).await?;
    let targets = devices(&policy, "target", &question.target)?;
    Ok(Json(run_blocking(move || view::who_can_reach(&policy, &targets, at, in_force)).await))
}

/// Tells what a policy opens and closes against the one in force, for people and machines.
#[utoipa::path(post, path = "/api/v1/policy/diff", tag = "policy", request_body = DiffQuestion,
    responses((status = 200, body = DiffAnswer)))]
pub(crate) async fn diff(
    State(state): State<AppState>,
    ValidJson(question): ValidJson<DiffQuestion>,
) -> Result<Json<DiffAnswer>, Problem> {
    let at = parse_at(question.at.as_deref())?;
    let (old, in_force) = policy(&state, at, None).await?;
    let compared = run_blocking(move || {
        let new = Policy::compile(&question.policy, old.control_plane(), old.mesh());
        new.map(|new| view::diff(&new, &old, at, in_force))
    });
    let compared =
        compared.await.map_err(|error| unavailable("policy", PolicyUnavailable::Unreadable(error)))?;
    compared.map(Json).map_err(|error| Problem::internal("the policies can't be compared").because(&error))
}

/// What a change of the policy opened and closed, for the people and devices of its moment; in words why that can't be told.
pub(crate) async fn effect_of_change(
    state: &AppState,
    event: &Event,
    change: &Change,
) -> Result<Result<DiffAnswer, String>, Problem> {
    let texts = view::both_policies(state.trail(), change).await;
    let Some((old, new)) = texts.map_err(|error| super::events::unreadable(&error))? else {
        return Ok(Err("the trail does not hold the policy before and after this change".to_owned()));
    };
    let (history, at, in_force) = (state.history().clone(), event.time, old.in_force());
    let compared = run_blocking(move || {
        let mesh = view::mesh_at(&history, at);
        let before = Policy::compile(&old.text, old.control_plane, &mesh)
            .map_err(|error| format!("the policy before can't be evaluated: {error}"))?;
        let after = Policy::compile(&new.text, new.control_plane, &mesh)
            .map_err(|error| format!("the policy after can't be evaluated: {error}"))?;
        view::diff(&after, &before, at, in_force).map_err(|error| error.to_string())
    });
    Ok(compared.await)
}

/// The policy that a question is about: the one that was sent, read by the rules of the control plane in force then, or that
/// one itself.
async fn policy(
    state: &AppState,
    at: Timestamp,
    sent: Option<String>,
) -> Result<(Arc<Policy>, PolicyInForce), Problem> {
    load_directory(state).await?;
    let Some(text) = sent else {
        let found = state.policies().at(state.trail(), state.history(), at).await;
        return found.map_err(|error| unavailable("at", error));
    };
    let known = view::policy_at(state.trail(), at).await;
    let known = known.map_err(|error| unavailable("at", error.into()))?;
    let control_plane = known.map(|known| known.control_plane).unwrap_or_default();
    let compiled = view::compile(text, control_plane, state.history(), at).await;
    let policy = compiled.map_err(|error| unavailable("policy", error))?;
    let in_force = PolicyInForce { control_plane: control_plane.to_string(), event: None, since: None };
    Ok((Arc::new(policy), in_force))
}

/// Who can reach a device now, or in words why that can't be told.
pub(crate) async fn who_can_reach_now(
    state: &AppState,
    id: &str,
    now: Timestamp,
) -> Result<Result<ReachAnswer, String>, Problem> {
    let (policy, in_force) = match state.policies().at(state.trail(), state.history(), now).await {
        Ok(found) => found,
        Err(PolicyUnavailable::Read(error)) => return Err(super::events::unreadable(&error)),
        Err(error) => return Ok(Err(error.to_string())),
    };
    let mesh = policy.mesh();
    let Some(device) = mesh.devices().find(|device| mesh.device(*device).id == id) else {
        return Ok(Err("the device is not in the mesh now".to_owned()));
    };
    Ok(Ok(run_blocking(move || view::who_can_reach(&policy, &[device], now, in_force)).await))
}

fn unavailable(field: &str, error: PolicyUnavailable) -> Problem {
    match &error {
        PolicyUnavailable::Unknown => Problem::not_found(error.to_string()).at(field),
        PolicyUnavailable::Unreadable(_) if field == "policy" => {
            Problem::bad_request(field, error.to_string())
        }
        PolicyUnavailable::Unreadable(faults) => {
            Problem::conflict(format!("the policy in force then can't be evaluated: {faults}"))
        }
        PolicyUnavailable::Read(read) => super::events::unreadable(read),
    }
}

/// The devices that a text names; the problem names the field.
fn devices(policy: &Policy, field: &str, text: &str) -> Result<Vec<DeviceRef>, Problem> {
    let found = policy.mesh().find(text);
    if found.is_empty() {
        let detail = format!(
            "no device is known then by {}: name a login, a tag, or a device by name, id or address",
            shorten(text, 120)
        );
        return Err(Problem::bad_request(field, detail));
    }
    Ok(found)
}
