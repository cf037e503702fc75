"""Names, places and goods that the sandbox's orders are made of."""

from __future__ import annotations

from typing import NamedTuple

FIRST_NAMES = (
    "João", "Maria", "José", "Antônia", "Luís", "Conceição", "Sérgio", "Patrícia", "Márcio", "Inês",
    "Thaís", "Flávio", "Letícia", "Ângela", "Caíque", "Júlia", "Otávio", "Débora", "Rogério", "Sônia",
)  # fmt: skip
LAST_NAMES = (
    "da Silva", "Araújo", "Gonçalves", "de Assunção", "Magalhães", "Brandão", "Conceição", "Falcão",
    "Simões", "Guimarães", "Sant'Anna", "D'Ávila", "Müller", "Nakamura", "Teixeira", "Leitão",
)  # fmt: skip


class Place(NamedTuple):
    """A real street in a real city."""

    city: str
    state: str
    postal_code: str
    neighborhood: str
    street: str
    area_code: str
    longitude: float
    latitude: float


PLACES = (
    Place("São Paulo", "SP", "01310-100", "Bela Vista", "Avenida Paulista", "11", -46.6544, -23.5631),
    Place("Rio de Janeiro", "RJ", "22041-080", "Copacabana", "Rua Barata Ribeiro", "21", -43.1871, -22.9673),
    Place("Belo Horizonte", "MG", "30130-010", "Centro", "Avenida Afonso Pena", "31", -43.9378, -19.9191),
    Place("Brasília", "DF", "70310-500", "Asa Sul", "SHS Quadra 6", "61", -47.8919, -15.7942),
    Place("Salvador", "BA", "40140-110", "Barra", "Avenida Oceânica", "71", -38.5313, -13.0104),
    Place("Fortaleza", "CE", "60165-121", "Meireles", "Avenida Beira-Mar", "85", -38.4963, -3.7236),
    Place("Curitiba", "PR", "80020-310", "Centro", "Rua XV de Novembro", "41", -49.2700, -25.4296),
    Place("Porto Alegre", "RS", "90035-003", "Bom Fim", "Avenida Osvaldo Aranha", "51", -51.2120, -30.0330),
    Place("Recife", "PE", "51020-000", "Boa Viagem", "Avenida Boa Viagem", "81", -34.8976, -8.1196),
    Place("Florianópolis", "SC", "88015-200", "Centro", "Rua Bocaiúva", "48", -48.5450, -27.5850),
    Place("Belém", "PA", "66055-090", "Nazaré", "Avenida Nazaré", "91", -48.4820, -1.4530),
    Place(
        "Goiânia", "GO", "74110-010", "Setor Oeste", "Avenida República do Líbano", "62", -49.2690, -16.6830
    ),
)


class Product(NamedTuple):
    """Something on sale; ``price`` is in cents."""

    name: str
    price: int
    brand: str
    category: str
    unit: str = "un"


PRODUCTS = (
    Product("Cafeteira Elétrica Britânia 110 V", 18990, "Britânia", "Eletroportáteis"),
    Product("Tênis Olympikus Corrida Azul 42", 25990, "Olympikus", "Calçados"),
    Product("Café Torrado em Grãos Serra da Mantiqueira 1 kg", 7450, "Mantiqueira", "Mercearia"),
    Product("Jogo de Lençóis Casal Algodão 200 Fios", 13999, "Artex", "Cama, Mesa e Banho"),
    Product("Furadeira de Impacto 650 W com Maleta", 32900, "Bosch", "Ferramentas"),
    Product("Ração para Cães Adultos Porte Médio 15 kg", 15490, "Golden", "Pet Shop"),
    Product("Fone de Ouvido Bluetooth à Prova d'Água", 19900, "Philco", "Áudio"),
    Product("Panela de Pressão Alumínio 4,5 L", 9890, "Rochedo", "Utilidades Domésticas"),
    Product("Livro “Memórias Póstumas de Brás Cubas”", 3490, "Antofágica", "Livros"),
    Product("Protetor Solar FPS 50 Toque Seco 200 ml", 6299, "Anthelios", "Beleza e Saúde"),
    Product("Cerâmica Acetinada Branca 60x60", 4990, "Portobello", "Construção", "m2"),
    Product("Vinho Tinto Vale dos Vinhedos Merlot 750 ml", 8900, "Miolo", "Bebidas"),
    Product("Mochila Escolar Infantil com Rodinhas", 17950, "Sestini", "Papelaria"),
    Product("Chaleira Elétrica 1,8 L Aço Inox", 12900, "Mondial", "Eletroportáteis"),
    Product("Bicicleta Aro 29 Freio a Disco 21 Marchas", 149900, "Caloi", "Esporte e Lazer"),
    Product("Sabão Líquido Concentrado 3 L", 2990, "Omo", "Limpeza"),
)


class Payment(NamedTuple):
    """A way to pay."""

    system: str
    name: str
    group: str


PAYMENTS = (
    Payment("125", "Pix", "instantPayment"),
    Payment("2", "Visa", "creditCard"),
    Payment("4", "Mastercard", "creditCard"),
    Payment("6", "Boleto Bancário", "bankInvoice"),
)


class Carrier(NamedTuple):
    """A way to deliver; ``price`` is in cents."""

    name: str
    company: str
    estimate: str
    days: int
    price: int


CARRIERS = (
    Carrier("Normal", "Correios PAC", "8bd", 8, 1990),
    Carrier("Expressa", "Sedex", "3bd", 3, 3450),
    Carrier("Econômica", "Jadlog", "12bd", 12, 0),
)
