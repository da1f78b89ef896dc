"""The entity types of the two data sets, in the spelling of their annotation files."""

COARSE_TYPES = ("PER", "ORG", "LOC", "OTHER")
"""Twitter-GMNER; what its papers call MISC is OTHER in its files."""

FINE_TYPES = {
    "person": (
        "athlete", "musician", "politician", "actor", "artist", "character", "businessman", "author",
        "person_other", "intellectual", "director", "coach", "journalist",
    ),
    "organization": (
        "sports_team", "sports_league", "company", "news_agency", "educational_institution", "band",
        "social_organization", "government_agency", "organization_other", "political_party",
    ),
    "location": ("city", "country", "location_other", "park", "state", "road", "continent"),
    "building": ("entertainment_place", "building_other", "sports_facility", "cultural_place"),
    "event": ("festival", "sports_event", "event_other"),
    "art": ("film_and_television_works", "music", "written_work", "art_other", "magazine"),
    "product": ("product_other", "software", "brand_name_products", "game"),
    "other": ("website", "award", "animal", "medical_thing", "ordinance"),
}  # fmt: skip
"""Twitter-FMNERG: coarse type to its fine types."""


def all_fine_types() -> tuple[str, ...]:
    """Return the 51 fine types of Twitter-FMNERG."""
    return tuple(fine for group in FINE_TYPES.values() for fine in group)


FINE_TO_COARSE = {fine: coarse for coarse, group in FINE_TYPES.items() for fine in group}
"""Each of the 51 fine types of Twitter-FMNERG to its coarse type, one of 8."""
