"""Faulty copies of the rules of a pool's flow. Each breaks one rule."""

import attrs

from twilio_oauth_async.sign_in import flow_life, reporting
from twilio_oauth_async.sign_in.endings import TOKEN_LOST
from twilio_oauth_async.sign_in.flow_steps import Act, CallFailed, End, Happening, Leased, Looked, Polled, PollFailed
from twilio_oauth_async.sign_in.reporting import Result, Task


def instead(of, step):
    """Return a `decide` that chooses `step` in place of `of`."""

    def decide(life, now):
        chosen = flow_life.decide(life, now)
        return step if chosen is of else chosen

    return decide


def deaf_to(happening, instead_of=None):
    """Return an `advance` that ignores `happening`, or takes it for another one."""

    def advance(life, outcome, now):
        if outcome is happening:
            return life if instead_of is None else flow_life.advance(life, instead_of, now)
        return flow_life.advance(life, outcome, now)

    return advance


def looks_once(flow, owner, lease, now):
    """Look when a flow is taken up, and not again before the first poll."""
    return attrs.evolve(flow_life.taken_up(flow, owner, lease, now), taken_at=None)


def without_pause(flow, owner, lease, now):
    """Poll a flow that was taken up when its last owner would have."""
    life = flow_life.taken_up(flow, owner, lease, now)
    return attrs.evolve(life, flow=attrs.evolve(flow, owner=owner))


def without_lease(life, now):
    """Poll whether the lease has ended or not."""
    if life.lease is None:
        return flow_life.decide(life, now)
    lease = attrs.evolve(life.lease, monotonic=now.monotonic + 1.0, wall=now.wall.replace(year=2030))
    return flow_life.decide(attrs.evolve(life, lease=lease), now)


def with_monotonic_lease(life, now):
    """Know the end of the lease by the monotonic clock alone, which stands still during suspend."""
    if life.lease is None:
        return flow_life.decide(life, now)
    return flow_life.decide(attrs.evolve(life, lease=attrs.evolve(life.lease, wall=now.wall.replace(year=2030))), now)


def renewed_as_if_never_lost(life, outcome, now):
    """Go on where it was, although the lease had ended."""
    if isinstance(outcome, Leased):
        return attrs.evolve(life, lease=outcome.lease, is_lost=False, failures=0, retry_at=flow_life.NEVER)
    return flow_life.advance(life, outcome, now)


def drops_token_without_lease(life, now):
    """Stop when another process has the lease, although the token has arrived."""
    return Act.STOP if life.is_lost else flow_life.decide(life, now)


def stops_at_once(life, now):
    return Act.STOP if life.is_stopping else flow_life.decide(life, now)


def blind_to_token(life, outcome, now):
    """Ignore that the token is stored."""
    if isinstance(outcome, Looked):
        outcome = attrs.evolve(outcome, has_token=False)
    return flow_life.advance(life, outcome, now)


def blind_to_grant(life, outcome, now):
    """Poll a flow whose token another process has received."""
    if isinstance(outcome, Looked) and outcome.flow is not None and outcome.flow.state == "granted":
        outcome = attrs.evolve(outcome, flow=attrs.evolve(outcome.flow, state="pending"))
    return flow_life.advance(life, outcome, now)


def without_grace(life, now):
    """Take the token of another process for lost as soon as its lease has ended."""
    step = flow_life.decide(life, now)
    return End(TOKEN_LOST) if life.granted_since is not None and step is Act.LOOK else step


def expires_at_once(life, now):
    """End a flow that was taken up too late for a poll at once."""
    return flow_life.decide(attrs.evolve(life, taken_at=None), now)


def drops_token_after_one_failure(life, outcome, now):
    """Revoke the token when it cannot be saved once."""
    after = flow_life.advance(life, outcome, now)
    if isinstance(outcome, CallFailed) and outcome.act is Act.SAVE_TOKEN:
        return attrs.evolve(after, ending=flow_life.ending_of_error(outcome.error), failures=0)
    return after


def stopped_by_failure(life, outcome, now):
    after = flow_life.advance(life, outcome, now)
    return attrs.evolve(after, retry_at=1e9) if isinstance(outcome, CallFailed) else after


def polls_after_the_end(life, outcome, now):
    return life if isinstance(outcome, PollFailed) else flow_life.advance(life, outcome, now)


def forgets_interval(life, outcome, now):
    """Poll as before although the server asked for a longer interval, and after a hand-over."""
    after = flow_life.advance(life, outcome, now)
    if isinstance(outcome, Polled) and after.token is None:
        sooner = attrs.evolve(after.flow.authorization, next_poll_at=after.steady(now))
        return attrs.evolve(after, flow=attrs.evolve(after.flow, authorization=sooner))
    return after


def trusts_missing_flow(life, outcome, now):
    """Take a flow that is not stored for lost, however long that may be so."""
    return flow_life.advance(attrs.evolve(life, known=now), outcome, now)


def saves_without_look(life, now):
    """Save the token however long ago the flow was known to be granted."""
    return flow_life.decide(attrs.evolve(life, known=now), now)


def marked_before_called(report, now):
    step = reporting.decide(report, now)
    return Task.MARK if step is Task.CALL else step


def called_once(report, result, now):
    """Take a failed call of the callback for one that returned."""
    return reporting.advance(report, Result.CALLED if result is Result.FAILED else result, now)


def called_again_for_ever(report, result, now):
    return report if result is Result.CALLED else reporting.advance(report, result, now)


def kept_without_callback(report, now):
    """Report the end in a process without a callback."""
    return reporting.decide(attrs.evolve(report, has_callback=True, is_called=not report.has_callback), now)


LOST_CANCEL = deaf_to(Happening.NOT_GRANTED, Happening.GRANTED)
