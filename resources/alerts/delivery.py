"""A message on its way to a receiver, by apprise: Slack, e-mail, webhook, PagerDuty, Teams and whatever else it has an address for."""

import logging
import os

from resources.alerts.messages import Message

WITHIN_S = 20.0
"""So long a receiver may take for one message; then it counts as not taken, and is tried again."""


def deliver(variable: str, message: Message) -> str:
    """Give a message to the receiver whose address the variable holds; why it was not taken, "" where it was.

    The address is read here and handed to apprise: no error, log or record has it.
    """
    address = os.environ.get(variable, "")
    if not address:
        return f"{variable} is not set in this process: set it to the address of the receiver"
    import apprise

    logging.getLogger("apprise").setLevel(logging.CRITICAL)  # its warnings may repeat parts of an address
    asset = apprise.AppriseAsset(app_id="mlops-assets", secure_logging=True, async_mode=False)
    target = apprise.Apprise(asset=asset)
    if not target.add(address):
        return f"{variable} holds no address that apprise knows: give one as its pages describe, for instance json://host"
    tones = apprise.NotifyType
    taken = target.notify(
        body=message.body,
        title=message.title,
        notify_type=tones(message.tone),
        body_format=apprise.NotifyFormat.TEXT,
        timeout=WITHIN_S,
    )
    return "" if taken else f"the receiver behind {variable} did not take it"
