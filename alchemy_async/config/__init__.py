"""Config: campaign.toml, read and checked once.

In:    a campaign folder.
Out:   frozen settings, one model for each room; or all mistakes of the file at once.
Never: starts anything, loads a driver or a planner, or reads the file a second time.
"""

from alchemy_async.config.budget import BudgetSettings
from alchemy_async.config.campaign import CampaignSettings, CampaignTable
from alchemy_async.config.constraints import ConstraintSettings
from alchemy_async.config.load import check_campaign, load_campaign
from alchemy_async.config.objectives import ObjectiveSettings
from alchemy_async.config.planner import InitialSettings, PlannerSettings
from alchemy_async.config.space_settings import ParameterSettings
from alchemy_async.config.workers import WorkerSettings

__all__ = [
    "BudgetSettings",
    "CampaignSettings",
    "CampaignTable",
    "ConstraintSettings",
    "InitialSettings",
    "ObjectiveSettings",
    "ParameterSettings",
    "PlannerSettings",
    "WorkerSettings",
    "check_campaign",
    "load_campaign",
]
