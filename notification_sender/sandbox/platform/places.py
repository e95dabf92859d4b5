"""Invented places, people and incidents of a network operations centre. All domains are example domains."""

# ruff: noqa: RUF001 - letters that look like others are what these names are for

from typing import NamedTuple


class Place(NamedTuple):
    city: str
    street: str
    country: str
    timezone: str
    longitude: float
    latitude: float


PLACES = (
    Place("Orléans", "Rue de l'Échange", "France", "Europe/Paris", 1.9093, 47.9025),
    Place("Málaga", "Calle del Olivo", "España", "Europe/Madrid", -4.4203, 36.7196),
    Place("Łódź", "ulica Świętokrzyska", "Polska", "Europe/Warsaw", 19.4560, 51.7592),
    Place("São Paulo", "Rua da Conexão", "Brasil", "America/Sao_Paulo", -46.6333, -23.5505),
    Place("Reykjavík", "Þórsgata", "Ísland", "Atlantic/Reykjavik", -21.9426, 64.1466),
    Place("काठमाडौं", "दरबार मार्ग", "नेपाल", "Asia/Kathmandu", 85.3240, 27.7172),
    Place("Adelaide", "O'Connell Street", "Australia", "Australia/Adelaide", 138.6007, -34.9285),
    Place("Québec", "Côte d'Abraham", "Canada", "America/Toronto", -71.2080, 46.8139),
    Place("İzmir", "Çınar Caddesi", "Türkiye", "Europe/Istanbul", 27.1428, 38.4237),
    Place("札幌", "北一条西", "日本", "Asia/Tokyo", 141.3545, 43.0621),
)

ORGANIZATIONS = (
    ("exemple-reseau", "Réseau Exemple Centre"),
    ("ejemplo-senal", "Señal Ejemplo del Sur"),
    ("przyklad-lacza", "Łącza Przykładowe"),
    ("exemplo-conexao", "Conexão Exemplo"),
    ("daemi-fjarskipti", "Dæmi Fjarskipti"),
    ("udaharan-sanjal", "उदाहरण सञ्जाल"),
    ("example-outback", "Example & Sons Outback Links"),
    ("exemple-boreal", "Liaisons Exemple Boréal"),
    ("ornek-hatlari", "Örnek Hatları"),
    ("rei-kaisen", "例回線"),
)
"""Id and name. The n-th organization is at the n-th place."""

OUTAGES = (
    ("mains_lost", "Mains power lost, sites on battery for about 4 h"),
    ("mains_lost", "Transformer on fire; the café next door reports sparks"),
    ("generator_failed", "Generator failed its start, voltage < 190 V"),
    ("planned_works", "Planned works ran over, end now at 14:30"),
    ("flooding", "Substation flooded, pumps ordered"),
)
"""Type and summary."""

PROVIDERS = ("Example Power Grid", "Exemple Énergie", "Beispiel Stromnetz", "Przykładowa Energia")

ASSETS = (
    ("Site", "POP {city} {number}"),
    ("Site", "Hub {city} – Nord {number}"),
    ("Cabinet", 'Cabinet {number} "{city}"'),
    ("Data centre", "Data centre {city} {number}"),
    ("Fibre link", "Link {city} ↔ ring {number} (100G)"),
)
"""Type and name. A link has a line; all others have a point."""

INTEL_REQUESTS = (
    ("power_outage_check", "The grid operator confirms the outage"),
    ("weather", "Gusts of 110 km/h expected until 21:00"),
    ("fibre_trace", "Fibre cut 12.4 km from the hub, light level < -24 dBm, splice team on its way"),
    ("news_scan", 'Local paper: "Excavator meets cable"'),
    ("site_contact", "Technician Zoë Ångström reaches the site in 40 min"),
    ("internet_outage_check", "Routes of AS64500 withdrawn for 12 min"),
)
"""Type and summary of the result."""

INCIDENT_STATUSES = ("open", "Open", "OPEN", "investigating", "Monitoring", "RESOLVED")
INTEL_STATUSES = ("completed", "Completed", "COMPLETED", "In_Progress", "pending")
"""Mixed letter case, as the APIs answer."""
