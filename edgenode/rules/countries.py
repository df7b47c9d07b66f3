"""The countries: ISO 3166-1 codes of two letters, and their names in English.

Law: a rule names a country that exists, by its code or by its name, in any case, and means its code.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping

from edgenode.model.errors import InvalidValue

_TABLE = """
AD Andorra; AE United Arab Emirates, UAE; AF Afghanistan; AG Antigua and Barbuda; AI Anguilla; AL Albania; AM Armenia;
AO Angola; AQ Antarctica; AR Argentina; AS American Samoa; AT Austria; AU Australia; AW Aruba; AX Åland, Åland Islands,
Aland Islands; AZ Azerbaijan; BA Bosnia and Herzegovina, Bosnia; BB Barbados; BD Bangladesh; BE Belgium;
BF Burkina Faso; BG Bulgaria; BH Bahrain; BI Burundi; BJ Benin; BL Saint Barthélemy, Saint Barthelemy, St. Barthélemy;
BM Bermuda; BN Brunei, Brunei Darussalam; BO Bolivia; BQ Bonaire, Caribbean Netherlands;
BR Brazil; BS Bahamas, The Bahamas; BT Bhutan; BV Bouvet Island; BW Botswana; BY Belarus; BZ Belize; CA Canada;
CC Cocos (Keeling) Islands, Cocos Islands; CD DR Congo, Democratic Republic of the Congo, Congo-Kinshasa;
CF Central African Republic; CG Congo Republic, Republic of the Congo, Congo, Congo-Brazzaville; CH Switzerland;
CI Ivory Coast, Côte d'Ivoire, Cote d'Ivoire; CK Cook Islands; CL Chile; CM Cameroon; CN China; CO Colombia;
CR Costa Rica; CU Cuba; CV Cabo Verde, Cape Verde; CW Curaçao, Curacao; CX Christmas Island; CY Cyprus; CZ Czechia,
Czech Republic; DE Germany; DJ Djibouti; DK Denmark; DM Dominica; DO Dominican Republic; DZ Algeria; EC Ecuador;
EE Estonia; EG Egypt; EH Western Sahara; ER Eritrea; ES Spain; ET Ethiopia; FI Finland; FJ Fiji; FK Falkland Islands;
FM Federated States of Micronesia, Micronesia; FO Faroe Islands; FR France; GA Gabon; GB United Kingdom, Great Britain,
UK; GD Grenada; GE Georgia; GF French Guiana; GG Guernsey; GH Ghana; GI Gibraltar; GL Greenland; GM Gambia, The Gambia;
GN Guinea; GP Guadeloupe; GQ Equatorial Guinea; GR Greece; GS South Georgia and the South Sandwich Islands,
South Georgia; GT Guatemala; GU Guam; GW Guinea-Bissau; GY Guyana; HK Hong Kong; HM Heard and McDonald Islands,
Heard Island and McDonald Islands; HN Honduras; HR Croatia; HT Haiti; HU Hungary; ID Indonesia; IE Ireland; IL Israel;
IM Isle of Man; IN India; IO British Indian Ocean Territory; IQ Iraq; IR Iran; IS Iceland; IT Italy; JE Jersey;
JM Jamaica; JO Jordan; JP Japan; KE Kenya; KG Kyrgyzstan; KH Cambodia; KI Kiribati; KM Comoros;
KN St Kitts and Nevis, Saint Kitts and Nevis; KP North Korea; KR South Korea, Korea; KW Kuwait; KY Cayman Islands;
KZ Kazakhstan; LA Laos; LB Lebanon; LC Saint Lucia, St Lucia; LI Liechtenstein; LK Sri Lanka; LR Liberia; LS Lesotho;
LT Lithuania; LU Luxembourg; LV Latvia; LY Libya; MA Morocco; MC Monaco; MD Moldova; ME Montenegro; MF Saint Martin,
St. Martin; MG Madagascar; MH Marshall Islands; MK North Macedonia, Macedonia; ML Mali; MM Myanmar, Burma; MN Mongolia;
MO Macao, Macau; MP Northern Mariana Islands; MQ Martinique; MR Mauritania; MS Montserrat; MT Malta; MU Mauritius;
MV Maldives; MW Malawi; MX Mexico; MY Malaysia; MZ Mozambique; NA Namibia; NC New Caledonia; NE Niger;
NF Norfolk Island; NG Nigeria; NI Nicaragua; NL The Netherlands, Netherlands, Holland; NO Norway; NP Nepal; NR Nauru;
NU Niue; NZ New Zealand; OM Oman; PA Panama; PE Peru; PF French Polynesia; PG Papua New Guinea; PH Philippines;
PK Pakistan; PL Poland; PM Saint Pierre and Miquelon; PN Pitcairn Islands, Pitcairn; PR Puerto Rico; PS Palestine;
PT Portugal; PW Palau; PY Paraguay; QA Qatar; RE Réunion, Reunion; RO Romania; RS Serbia; RU Russia,
Russian Federation; RW Rwanda; SA Saudi Arabia; SB Solomon Islands; SC Seychelles; SD Sudan; SE Sweden; SG Singapore;
SH Saint Helena; SI Slovenia; SJ Svalbard and Jan Mayen; SK Slovakia; SL Sierra Leone; SM San Marino; SN Senegal;
SO Somalia; SR Suriname; SS South Sudan; ST São Tomé and Príncipe, Sao Tome and Principe; SV El Salvador;
SX Sint Maarten; SY Syria; SZ Eswatini, Swaziland; TC Turks and Caicos Islands; TD Chad; TF French Southern Territories;
TG Togo; TH Thailand; TJ Tajikistan; TK Tokelau; TL Timor-Leste, East Timor; TM Turkmenistan; TN Tunisia; TO Tonga;
TR Türkiye, Turkey; TT Trinidad and Tobago; TV Tuvalu; TW Taiwan; TZ Tanzania; UA Ukraine; UG Uganda;
UM U.S. Outlying Islands, United States Minor Outlying Islands; US United States, United States of America, USA;
UY Uruguay; UZ Uzbekistan; VA Vatican City, Vatican; VC St Vincent and Grenadines, Saint Vincent and the Grenadines;
VE Venezuela; VG British Virgin Islands; VI U.S. Virgin Islands; VN Vietnam, Viet Nam; VU Vanuatu; WF Wallis and Futuna;
WS Samoa; XK Kosovo; XX Unknown; YE Yemen; YT Mayotte; ZA South Africa; ZM Zambia; ZW Zimbabwe
"""
"""By code every name in use, MaxMind's first; Kosovo has a code of its own choice, and ``XX`` is the unknown."""


def _read() -> tuple[Mapping[str, str], Mapping[str, str]]:
    names: dict[str, str] = {}
    codes: dict[str, str] = {}
    for line in " ".join(_TABLE.split()).split("; "):
        code, _, listed = line.partition(" ")
        every = listed.split(", ")
        names[code] = every[0]
        codes.update(dict.fromkeys((word.casefold() for word in (code, *every)), code))
    return names, codes


COUNTRIES, _CODES = _read()
"""The name of each country by its code."""


def country_code(text: str) -> str:
    """The code of a country.

    :param text: its code or its name, in any case.
    :raises InvalidValue: if there is no such country.
    """
    found = _CODES.get(" ".join(text.split()).casefold())
    if found is None:
        near = difflib.get_close_matches(text.casefold(), _CODES, 1) if len(text) > 2 else ()
        guess = f"; did you mean {COUNTRIES[_CODES[near[0]]]}?" if near else ""
        raise InvalidValue(f"there is no country {text}: write its ISO 3166-1 code, DE, or its name{guess}", 0)
    return found
