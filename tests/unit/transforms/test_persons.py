"""Columns that name persons, of many languages, and columns of things that are called alike."""

from __future__ import annotations

import pytest

from tests.samples import csv_proposal

PERSONS = {
    "English": ("name", "Emily Carter|Oliver Hughes|Grace Bennett|Jack Foster|Amelia Ward"),
    "title": ("name", "Dr. Bell|Mrs. Okonkwo|Mr. Tan|Ms. Duarte|Prof. Ishii"),
    "turned": ("name", "Carter, Emily|Hughes, Oliver|Bennett, Grace|Foster, Jack|Ward, Amelia"),
    "German": ("Name", "Jürgen Schäfer|Heike Vogel|Uwe Krämer|Sabine Lorenz|Lukas Brandt"),
    "German header": ("Nachname", "Schäfer|Vogel|Krämer|Lorenz|Brandt"),
    "French": ("nom", "Benoît Lefèvre|Élodie Garnier|Thierry Roux|Céline Faure|Mathieu Colin"),
    "French header": ("Prénom", "Benoît|Élodie|Thierry|Céline|Mathieu"),
    "Spanish": ("nombre", "Alejandro Ruiz|María José Ortega|Diego Luna|Lucía Prado|Sergio Gil"),
    "Spanish header": ("Apellidos", "Ruiz Vega|Ortega Sanz|Luna Mora|Prado Gil|Gil Arce"),
    "Portuguese": ("nome", "João Ribeiro|Letícia Moura|Thiago Pires|Juliana Costa|Paulo Reis"),
    "Italian": ("nome", "Giulia Conti|Matteo Greco|Chiara Villa|Luca Serra|Davide Fontana"),
    "Italian header": ("cognome", "Conti|Greco|Villa|Serra|Fontana"),
    "Dutch": ("naam", "Jan van der Berg|Anna de Vries|Lars Bakker|Emma ten Hag|Paul Smit"),
    "Polish": ("nazwisko", "Wójcik|Kamińska|Zając|Pawlak|Mazur"),
    "Nordic": ("navn", "Astrid Dahl|Lars Nygaard|Ingrid Moen|Erik Holm|Mette Lund"),
    "Turkish": ("isim", "Mehmet Öztürk|Zeynep Kaya|Emre Demir|Ayşe Çelik|Murat Şahin"),
    "Russian": ("ФИО", "Иванов Пётр|Смирнова Анна|Кузнецов Олег|Попова Дарья|Соколов Яков"),
    "Arabic names": ("name", "Youssef Haddad|Layla Nasser|Omar Khoury|Zahra Amiri|Tariq Aziz"),
    "Indian": ("name", "Rahul Verma|Priya Nair|Sunil Reddy|Kavita Joshi|Arjun Mehta"),
    "Chinese": ("name", "Wang Xiuying|Li Na|Zhang Wei|Chen Jing|Liu Yang"),
    "Chinese header": ("姓名", "王秀英|李娜|张伟|陈静|刘洋"),
    "Japanese header": ("氏名", "佐藤健|鈴木舞|高橋翔|田中葵|伊藤蓮"),
    "Hindi header": ("नाम", "क|ख|ग|घ|च"),
    "Swedish header": ("Förnamn", "Xi|Yu|Zo|Qa|Wu"),
    "African": ("name", "Kwame Mensah|Ngozi Obi|Thabo Dlamini|Akosua Boateng|Wanjiku Mwangi"),
    "role": ("director", "Bong Joon|Céline Sciamma|Hayao Miyazaki|Agnès Varda|Denis Villeneuve"),
    "role, rare names": ("doctor", "Xio Mbeki|Qul Zarat|Wub Ontari|Yev Druksk|Zed Ampofo"),
    "first": ("first_name", "xx|yy|zz|vv|ww"),
    "login": ("username", "xx1|yy2|zz3|vv4|ww5"),
    "cardholder": ("cardholder_name", "E CARTER|O HUGHES|G BENNETT|J FOSTER|A WARD"),
}
CALLED = (
    *("passenger", "assigned_to", "owner", "customer", "auftraggeber_empfaenger", "created_by"),
    *("Auftraggeber/Empfänger", "titular", "destinataire"),
)
PERSONS |= {
    f"called {name}": (name, "Anna Müller|Peter Ott|Sabine Lorenz|Uwe Krämer|Lukas Brandt")
    for name in CALLED
}
THINGS = {
    "cities": ("name", "New York|Los Angeles|San Diego|Fort Worth|El Paso"),
    "city header": ("city", "San Jose|Santa Maria|Saint Paul|Port Elizabeth|Don Carlos"),
    "airports": (
        "name",
        "John Wayne Airport|Orange County|Will Rogers World|Sky Harbor|Love Field",
    ),
    "companies": ("company", "John Deere|Marks Spencer|Ralph Lauren|Calvin Klein|Johnson Controls"),
    "firms": ("name", "Acme Corp|Stark Industries|Wayne Ltd|Umbrella Inc|Initech Llc"),
    "brands": ("brand_name", "Ralph Lauren|Hugo Boss|Calvin Klein|Tommy Hilfiger|Michael Kors"),
    "cars": ("name", "Toyota Corolla|Ford Pinto|Honda Civic|Mazda Rx|Fiat Uno"),
    "products": ("product", "Blue Mug|Red Lamp|Green Chair|Oak Table|Wool Rug"),
    "product names": ("name", "Blue Mug|Red Lamp|Green Chair|Oak Table|Wool Rug"),
    "species": ("name", "Adelie Penguin|Gentoo Penguin|Emperor Penguin|King Penguin|Royal Penguin"),
    "films": ("title", "Jerry Maguire|Annie Hall|Donnie Darko|Forrest Gump|Erin Brockovich"),
    "streets": ("street_name", "Martin Luther|John Kennedy|Anna Park|George Washington|Maria Way"),
    "schools": ("school", "Saint Mary|Thomas Jefferson|Abraham Lincoln|John Adams|Paul Revere"),
    "German cities": ("Ort", "Bad Homburg|Sankt Peter|Neu Isenburg|Groß Gerau|Alt Ötting"),
    "countries": ("country_name", "South Africa|New Zealand|Costa Rica|Sri Lanka|El Salvador"),
    "teams": ("team", "Red Sox|White Sox|Blue Jays|Green Bay|Golden State"),
    "vessels": ("name", "Sea Breeze|Ever Given|Northern Star|Ocean Pearl|Blue Whale"),
    "departments": (
        "department",
        "Human Resources|Legal Affairs|Public Works|Field Sales|Data Team",
    ),
    "categories": ("category", "Office Supplies|Home Garden|Pet Care|Baby Food|Sports Wear"),
    "a device": ("hostname", "web1|web2|db1|db2|lb1"),
    "metrics": ("metric_name", "cpu_load|mem_free|disk_io|net_in|net_out"),
}


def personal(header: str, values: str) -> bool:
    rows = [value for value in values.split("|") for _ in range(3)]
    text = f"{header},n\n" + "".join(f'"{value}",{i}.5\n' for i, value in enumerate(rows))
    found = csv_proposal(text)
    return found.properties[0].classification == "restricted"


@pytest.mark.parametrize("case", PERSONS.values(), ids=PERSONS)
def test_names_of_persons_are_found_whatever_the_language(case: tuple[str, str]) -> None:
    assert personal(*case)


@pytest.mark.parametrize("case", THINGS.values(), ids=THINGS)
def test_names_of_things_are_none_of_persons(case: tuple[str, str]) -> None:
    assert not personal(*case)


def test_in_a_table_about_persons_values_that_are_names_are_enough() -> None:
    names = ("Anna Müller", "Peter Ott", "Sabine Lorenz", "Uwe Krämer", "Lukas Brandt")
    rows = [f"{names[i % 5]},{i}\n" for i in range(400)]
    alone = csv_proposal("seat_for,n\n" + "".join(rows)).properties[0]
    assert (alone.classification, alone.doubtful, alone.enum) == (None, True, ())
    beside = csv_proposal("seat_for,patient_no\n" + "".join(rows)).properties[0]
    assert beside.classification == "restricted"
