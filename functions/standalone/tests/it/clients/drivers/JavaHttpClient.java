// java.net.http.HttpClient: an Authenticator, which sends nothing before it is challenged, and `Expect: 100-continue`.

import java.net.Authenticator;
import java.net.PasswordAuthentication;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Collectors;

public class JavaHttpClient {
    public static void main(String[] arguments) throws Exception {
        URI url = URI.create(arguments[0] + "/v1/operations");
        String user = arguments[1], key = arguments[3], body = arguments[4];
        char[] password = arguments[2].toCharArray();
        HttpClient challenged = HttpClient.newBuilder().authenticator(new Authenticator() {
            @Override
            protected PasswordAuthentication getPasswordAuthentication() {
                return new PasswordAuthentication(user, password);
            }
        }).build();
        HttpRequest.Builder post = HttpRequest.newBuilder(url).header("Content-Type", "application/json");
        String refused = seen(challenged.send(
            post.copy().POST(BodyPublishers.ofString("{\"operation\":\"team.schedule\"}")).build(), BodyHandlers.ofString()));
        HttpResponse<String> response = challenged.send(
            post.copy().expectContinue(true).POST(BodyPublishers.ofString(body)).build(), BodyHandlers.ofString());
        List<String> answers = new ArrayList<>(List.of(seen(response)));
        String head = null;
        HttpClient client = HttpClient.newHttpClient();
        while (response.statusCode() == 202) {
            url = response.uri().resolve(response.headers().firstValue("Location").orElseThrow());
            HttpRequest.Builder look = HttpRequest.newBuilder(url).header("X-Api-Key", key);
            if (head == null) {
                head = seen(client.send(look.copy().method("HEAD", BodyPublishers.noBody()).build(), BodyHandlers.ofString()));
            }
            Thread.sleep(1000 * response.headers().firstValueAsLong("Retry-After").orElseThrow());
            response = client.send(look.build(), BodyHandlers.ofString());
            answers.add(seen(response));
        }
        String name = text("java.net.http of Java " + System.getProperty("java.version"));
        System.out.print("{\"client\":" + name + ",\"refused\":" + refused + ",\"head\":" + head
            + ",\"answers\":[" + String.join(",", answers) + "]}");
    }

    static String seen(HttpResponse<String> response) {
        String headers = response.headers().map().entrySet().stream()
            .map(header -> text(header.getKey().toLowerCase()) + ":" + text(header.getValue().get(0)))
            .collect(Collectors.joining(","));
        return "{\"status\":" + response.statusCode() + ",\"headers\":{" + headers + "},\"text\":" + text(response.body()) + "}";
    }

    /** Writes a JSON string; the texts of this API have no control characters. */
    static String text(String text) {
        return '"' + text.replace("\\", "\\\\").replace("\"", "\\\"") + '"';
    }
}
