// An ERP's side of the HTTP API with Java (17 or newer): one invoice and one tracking event.
//
//   TOKEN=… java Erp.java 1172452900788-01 9999 9508        (order, invoice number, cents)

import java.io.IOException;
import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.time.Duration;

public class Erp {
    static final String URL = System.getenv().getOrDefault("FRONT_DOOR", "http://localhost:8080");
    static final HttpClient CLIENT =
        HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).connectTimeout(Duration.ofSeconds(5)).build();

    public static void main(String[] args) throws Exception {
        String order = args[0], number = args[1];
        int cents = Integer.parseInt(args[2]);
        send(order, "invoices", "nf-" + number, """
            {"type": "Output", "issuanceDate": "2026-01-31T18:25:43-03:00",
             "invoiceNumber": "%1$s", "invoiceValue": %2$d,
             "items": [{"id": "1234", "price": %2$d, "quantity": 1}]}""".formatted(number, cents));
        send(order, "invoices/" + number + "/tracking", "nf-" + number + "-sent", """
            {"trackingNumber": "BR123456789", "courier": "Correios", "isDelivered": false,
             "events": [{"city": "Niter\u00f3i", "state": "RJ", "description": "Saiu para entrega",
                         "date": "2026-02-01"}]}""");
        outcome("nf-" + number);
        outcome("nf-" + number + "-sent");
    }

    static void send(String order, String path, String key, String body) throws Exception {
        ask(request("/v1/orders/" + encoded(order) + "/" + path)
            .header("Content-Type", "application/json")
            .header("Idempotency-Key", key)
            .POST(BodyPublishers.ofString(body))
            .build());
    }

    static void outcome(String key) throws Exception {
        while (true) {
            String command = ask(request("/v1/commands/" + encoded(key)).build());
            // a JSON library of yours reads it better
            if (command.contains("\"state\": \"done\"")) {
                System.out.println(key + ": done");
                return;
            }
            if (command.contains("\"state\": \"refused\"") || command.contains("\"state\": \"dead\"")) {
                throw new IOException(command);
            }
            Thread.sleep(1000);
        }
    }

    // The same key again is the same command: so whatever goes wrong on the way, it is sent again as it is.
    static String ask(HttpRequest request) throws Exception {
        for (int tries = 1; ; tries++) {
            String why = URL + " does not answer";
            long wait = tries;
            try {
                HttpResponse<String> answer = CLIENT.send(request, BodyHandlers.ofString());
                if (answer.statusCode() < 300) return answer.body();
                why = answer.body();
                if (answer.statusCode() != 429 && answer.statusCode() < 500) tries = 5;
                wait = answer.headers().firstValueAsLong("Retry-After").orElse(tries);
            } catch (IOException noAnswer) {
                // it may have arrived all the same
            }
            if (tries >= 5) throw new IOException(why);
            Thread.sleep(wait * 1000);
        }
    }

    static HttpRequest.Builder request(String path) {
        return HttpRequest.newBuilder(URI.create(URL + path))
            .timeout(Duration.ofSeconds(15))
            .header("Authorization", "Bearer " + System.getenv("TOKEN"));
    }

    static String encoded(String part) {
        return URLEncoder.encode(part, StandardCharsets.UTF_8).replace("+", "%20");
    }
}
