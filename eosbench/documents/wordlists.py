"""Words and wordings of the embedded benchmark (instruct_families.py).

To change one is to change the benchmark: raise INSTRUCT_VERSION in instruct.py.
"""

from __future__ import annotations

NAMES = [
    "Anna",
    "Paul",
    "Liu",
    "Nina",
    "Ivan",
    "Sara",
    "Omar",
    "Lena",
    "Marco",
    "Julia",
    "Peter",
    "Mina",
    "Tom",
    "Emma",
    "Noah",
    "Ada",
    "Hugo",
    "Vera",
    "Leo",
    "Ruth",
]
COUNTABLES = ["apples", "coins", "books", "stones", "pens", "cards", "shells", "stamps"]

NOUNS = {
    "en": [
        "apple",
        "river",
        "stone",
        "garden",
        "window",
        "bread",
        "horse",
        "cloud",
        "lamp",
        "chair",
        "table",
        "forest",
        "island",
        "piano",
        "water",
        "mountain",
        "candle",
        "bottle",
        "train",
        "bridge",
        "flower",
        "letter",
        "pencil",
        "mirror",
        "tiger",
        "rabbit",
        "onion",
        "lemon",
        "sugar",
        "pepper",
        "butter",
        "orange",
        "village",
        "castle",
        "market",
        "school",
        "teacher",
        "doctor",
        "farmer",
        "winter",
        "summer",
        "morning",
        "evening",
    ],
    "it": [
        "mela",
        "fiume",
        "pietra",
        "giardino",
        "finestra",
        "pane",
        "cavallo",
        "nuvola",
        "lampada",
        "sedia",
        "tavolo",
        "bosco",
        "isola",
        "acqua",
        "monte",
    ],
    "de": [
        "Apfel",
        "Fluss",
        "Stein",
        "Garten",
        "Fenster",
        "Brot",
        "Pferd",
        "Wolke",
        "Lampe",
        "Stuhl",
        "Tisch",
        "Wald",
        "Insel",
        "Wasser",
        "Berg",
    ],
    "fr": [
        "pomme",
        "fleuve",
        "pierre",
        "jardin",
        "pain",
        "cheval",
        "nuage",
        "lampe",
        "chaise",
        "table",
        "bois",
        "eau",
        "montagne",
        "bateau",
        "pont",
    ],
    "es": [
        "manzana",
        "piedra",
        "ventana",
        "pan",
        "caballo",
        "nube",
        "silla",
        "mesa",
        "bosque",
        "isla",
        "agua",
        "puente",
        "barco",
        "flor",
        "carta",
    ],
}

YES_NO = {
    "en": ("Yes", "No"),
    "it": ("Sì", "No"),
    "de": ("Ja", "Nein"),
    "fr": ("Oui", "Non"),
    "es": ("Sí", "No"),
}
GREATER = {
    "en": (
        "Is {a} greater than {b}?",
        "Is {a} more than {b}? Answer yes or no.",
        "Yes or no: {a} is greater than {b}.",
    ),
    "it": ("{a} è maggiore di {b}?", "Sì o no: {a} è maggiore di {b}."),
    "de": ("Ist {a} größer als {b}?", "Ja oder nein: {a} ist größer als {b}."),
    "fr": ("{a} est-il plus grand que {b} ?", "Oui ou non : {a} est plus grand que {b}."),
    "es": ("¿Es {a} mayor que {b}?", "Sí o no: {a} es mayor que {b}."),
}
EVEN = {
    "en": ("Is {a} an even number?", "Yes or no: {a} is even."),
    "it": ("{a} è un numero pari?",),
    "de": ("Ist {a} eine gerade Zahl?",),
    "fr": ("{a} est-il un nombre pair ?",),
    "es": ("¿Es {a} un número par?",),
}
COUNT = {
    "en": (
        "Count from {a} to {b}.",
        "Write the numbers from {a} to {b}.",
        "Start at {a} and count up to {b}.",
    ),
    "it": ("Conta da {a} a {b}.", "Scrivi i numeri da {a} a {b}."),
    "de": ("Zähle von {a} bis {b}.", "Schreibe die Zahlen von {a} bis {b}."),
    "fr": ("Compte de {a} à {b}.", "Écris les nombres de {a} à {b}."),
    "es": ("Cuenta de {a} a {b}.", "Escribe los números de {a} a {b}."),
}
REPEAT = {
    "en": (
        "Write the word {word} {n} times.",
        "Repeat {word} {n} times.",
        "Say {word} exactly {n} times.",
    ),
    "it": ("Scrivi la parola {word} {n} volte.", "Ripeti {word} {n} volte."),
    "de": ("Schreibe das Wort {word} {n} mal.", "Wiederhole {word} {n} mal."),
    "fr": ("Écris le mot {word} {n} fois.", "Répète {word} {n} fois."),
    "es": ("Escribe la palabra {word} {n} veces.", "Repite {word} {n} veces."),
}
SPELL = {
    "en": ("Spell {word}.", "Write the letters of {word}.", "How do you spell {word}?"),
    "it": ("Scrivi le lettere di {word}.", "Come si scrive {word}?"),
    "de": ("Buchstabiere {word}.", "Wie schreibt man {word}?"),
    "fr": ("Épelle {word}.", "Écris les lettres de {word}."),
    "es": ("Deletrea {word}.", "Escribe las letras de {word}."),
}
LIST = {
    "en": (
        "List {n} words about the {noun}.",
        "Name {n} things near the {noun}.",
        "Give me {n} words that go with {noun}.",
    ),
    "it": ("Elenca {n} parole con {noun}.", "Dimmi {n} cose: {noun} e altro."),
    "de": ("Nenne {n} Wörter zu {noun}.", "Nenne {n} Dinge: {noun} und mehr."),
    "fr": ("Donne {n} mots avec {noun}.", "Nomme {n} choses : {noun} et plus."),
    "es": ("Dime {n} palabras con {noun}.", "Nombra {n} cosas: {noun} y más."),
}
HOW_MANY = (
    "How many {thing} now?",
    "How many {thing} does {name} have now?",
    "How many {thing} are left?",
)
JSON = ("Make a JSON list with name and age: {data}.", "Write this as JSON: {data}.")
TABLE = ("Make a table with name and age: {data}.", "Write this as a table: {data}.")
COPY = ("Copy this list: {items}.", "Repeat this list: {items}.")
REVERSE = ("Reverse this list: {items}.", "Write this list backwards: {items}.")
STORY = ("Tell a {size} story about {name}.", "Write a {size} story about {name} and a {noun}.")
SENTENCES = (
    "{name} went to the {noun}.",
    "{name} saw a {noun}.",
    "One day {name} found a small {noun}.",
    "The {noun} was old and beautiful.",
    "Then {name} lost the {noun}.",
    "{name} was happy.",
    "A {noun} is not a toy, said {name}.",
    "It was a cold day.",
    "{name} took the {noun} home.",
)
