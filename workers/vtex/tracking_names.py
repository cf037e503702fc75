"""Names that carriers and ERPs use in a tracking and VTEX does not: where what they hold belongs.

As they are folded by :func:`workers.vtex.forms.folded`: ``Código de Rastreio`` and ``codigo_rastreio`` are one. The
names are those of Brazilian carriers' and ERPs' APIs, in Portuguese and in English.
"""

from __future__ import annotations

_LOST = "is not known, and would be lost; "


def _hints(rows: dict[str, str]) -> dict[str, str]:
    """The sentence for each name, of the names for each sentence."""
    return {name: _LOST + where for where, names in rows.items() for name in names.split()}


TRACKING = _hints(
    {
        "write it as trackingNumber": """
        codigorastreio codigoderastreio codigorastreamento codigoderastreamento codrastreio
        codrastreamento rastreio rastreamento numerorastreio numerorastreamento numeroderastreamento
        numerodeobjeto objeto codigoobjeto codigodoobjeto numeroobjeto etiqueta awb tracking
        trackingcode trackcode trackingid trackingno
    """,
        (
            "VTEX keeps one trackingNumber of an invoice: write one of them there, and the others into an "
            "event's description; parcels with invoices of their own have a tracking each"
        ): """
        codigosrastreio codigosderastreio codigosrastreamento codigosderastreamento rastreios
        rastreamentos objetos etiquetas trackingnumbers trackingcodes trackings packages pacotes parcels
    """,
        "write it as trackingUrl": """
        urlrastreio urlrastreamento urlderastreio urlderastreamento linkrastreio linkrastreamento
        linkderastreio linkderastreamento trackinglink url link
    """,
        "write its name as courier": """
        transportadora transportador nometransportadora nomedatransportadora carrier carriername
        couriername shippingcompany
    """,
        "VTEX takes the carrier's name alone: courier": """
        cnpjtransportadora transportadoracnpj carrierid servico service
    """,
        "write it as dispatchedDate, beside trackingNumber": """
        datadespacho datadodespacho dataenvio datadeenvio datapostagem datadapostagem datacoleta
        dataexpedicao dataembarque posteddate postedat shippeddate shippedat shipdate dispatchdate
        dispatchedat
    """,
        "write it as deliveredDate, beside isDelivered: true": """
        dataentrega datadaentrega datadeentrega dtentrega entregueem deliveredat deliverydate
        deliveredon
    """,
        (
            "VTEX keeps no estimate with a tracking; say it in an event's description, if the customer is to "
            "read it"
        ): """
        previsao previsaoentrega previsaodeentrega dataprevista dataprevistaentrega dataprevisaoentrega
        prazo prazoentrega estimateddate estimateddelivery estimateddeliverydate eta
    """,
        "write isDelivered: true once the parcel has arrived, and all else as an event (description, date)": """
        status situacao statusentrega statusrastreio statusdescription state statuscode entregue
        delivered
    """,
        "write it as events: a list of {city, state, description, date}": """
        ocorrencia ocorrencias evento eventos historico historicorastreio movimentacao movimentacoes
        atualizacoes occurrence occurrences event history statushistory timeline tracks trackingevents
    """,
        "it is of an event: write events: [{city, state, description, date}]": """
        descricao description observacao observacoes obs comentario mensagem message cidade city uf
        codigoocorrencia tipoocorrencia dataocorrencia dataevento data date
    """,
        "an invoice's access key is invoiceKey of the invoice, and is sent with it": """
        chave chavenfe chavenf chavedanfe chavenota chaveacesso chavedeacesso chaveacessonfe accesskey
        nfekey invoicekey
    """,
        "VTEX has no place for the carrier's own document, so leave it out": """
        chavecte cte numerocte
    """,
        "VTEX knows an invoice by its number alone: write invoiceNumber as it was sent with the invoice": """
        serie serienf serienfe serienota serienotafiscal series invoiceseries
    """,
        "write the invoice's number as invoiceNumber": """
        nf nfe nota notafiscal numeronf numeronfe numeronota numerodanota numeronotafiscal
        numerodanotafiscal invoice invoiceid
    """,
        "it is of the invoice, and is sent with it": """
        dataemissao issuancedate invoicevalue valor valornf valornota invoiceurl items itens type tipo
    """,
        "the order is named outside of the payload, so leave it out": """
        pedido idpedido numeropedido numerodopedido codigopedido order orderid ordernumber
    """,
        "VTEX takes it with the invoice, if at all": """
        volumes qtdvolumes quantidadevolumes
    """,
        "VTEX has no place for it, so leave it out": """
        peso weight frete valorfrete freight
    """,
        "VTEX has no place for who received it, so leave it out": """
        recebedor nomerecebedor recebidopor documentorecebedor cpfrecebedor destinatario assinatura
        receiver receivername receivedby recipient signature cpf
    """,
    }
)

EVENT = _hints(
    {
        "write it as city": """
        cidade municipio local localidade unidade filial location
    """,
        "write it as state": """
        uf estado
    """,
        "write it as description": """
        descricao descricaoocorrencia ocorrencia evento event status situacao mensagem message
        statusdescription detalhe detalhes historico texto observacao obs comentario details
    """,
        "VTEX keeps no codes: write what it means into description": """
        codigo codigoocorrencia code tipo tipoocorrencia type statuscode eventcode eventid
    """,
        "write it as date": """
        data datahora dataevento dataocorrencia dtocorrencia datetime timestamp occurredat createdat
        eventdate when
    """,
        "VTEX keeps an event's day; write the time into description, if the customer is to read it": """
        hora horario time
    """,
        "VTEX has no place for who received it, so leave it out": """
        recebedor nomerecebedor recebidopor documentorecebedor cpfrecebedor destinatario assinatura
        receiver receivername receivedby recipient signature cpf
    """,
    }
)
