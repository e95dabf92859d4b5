"""The options of what other packages bring: the APIs of their recipes, and their channels."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from pydantic import AfterValidator, Field, SecretStr, ValidationInfo, create_model

from notification_sender.channels.registry import SHIPPED, ChannelType, channel_types
from notification_sender.context.upstream.api import Api
from notification_sender.model.errors import ConfigurationFault
from notification_sender.policy.retry import Schedule
from notification_sender.recipes import recipes
from notification_sender.recipes.apis import own_apis
from notification_sender.settings.constraints import outlived
from notification_sender.settings.formats import ApiUrl, Budget, OwnDelays, Throttle

if TYPE_CHECKING:
    from notification_sender.settings.loading import Settings

_Option = tuple[str, Any, Any]
"""Its name, the type of its value, and its field."""


S = TypeVar("S", bound="Settings")


def extended(base: type[S]) -> type[S]:
    """``base`` and an option for everything that is installed beside it.

    Raises:
        ConfigurationFault: a recipe or a channel of another package cannot be used, or two options have one name.

    """
    options: dict[str, Any] = {}
    for name, kind, field in _options(base):
        if name in options or name in base.model_fields:
            raise ConfigurationFault(f"NS_{name.upper()}: a recipe or channel declares it, and it means something else")
        options[name] = (kind, field)
    return create_model("Settings", __base__=base, **options) if options else base


def _options(base: "type[Settings]") -> Iterator[_Option]:
    for api in own_apis(recipes().values()).values():
        yield from _of_api(api)
    for channel in channel_types().values():
        written = channel in SHIPPED  # those of them that are options of ours stand there with the others
        yield from (it for it in _of_channel(channel) if not (written and it[0] in base.model_fields))


def _of_api(api: Api) -> Iterator[_Option]:
    yield f"{api.name}_url", ApiUrl, Field(description=f"The API {api.name}: {api.why or 'a recipe calls it'}.")
    why = f"Calls to the API {api.name} that all processes together have under way at most."
    yield f"{api.name}_budget", Budget, Field(None, description=why)


def _of_channel(channel: ChannelType) -> Iterator[_Option]:
    name = channel.name
    why = f"What one organization is sent by {name} at most, by the whole fleet together."
    yield f"throttle_{name}", Throttle, Field(channel.throttle, description=why, validate_default=True)
    delays = Annotated[OwnDelays, AfterValidator(_outlived)]
    why = f"Another schedule for {name}; else `NS_RETRY_SCHEDULE`."
    yield f"retry_schedule_{name}", delays, Field(channel.retry_schedule, description=why, validate_default=True)
    for option, why in channel.options.items():
        yield f"{name}_{option}", SecretStr | None, Field(None, description=why)


def _outlived(schedule: Schedule | None, info: ValidationInfo) -> Schedule | None:
    fault = schedule and outlived(str(info.field_name), schedule, info.data.get("ledger_ttl"))
    if fault:
        raise ValueError(fault)
    return schedule
