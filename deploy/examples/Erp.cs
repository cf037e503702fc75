// An ERP's side of the HTTP API with C# (.NET 8 or newer): one invoice and one tracking event.
//
//   dotnet new console --output erp && cp Erp.cs erp/Program.cs
//   TOKEN=… dotnet run --project erp 1172452900788-01 9999 9508        (order, invoice number, cents)

using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Text.Json;

var (order, number, cents) = (args[0], args[1], int.Parse(args[2]));
using var client = new HttpClient
{
    BaseAddress = new Uri(Environment.GetEnvironmentVariable("FRONT_DOOR") ?? "http://localhost:8080"),
    Timeout = TimeSpan.FromSeconds(15),
};
client.DefaultRequestHeaders.Authorization =
    new AuthenticationHeaderValue("Bearer", Environment.GetEnvironmentVariable("TOKEN"));

await Send("invoices", $"nf-{number}", new
{
    type = "Output",
    issuanceDate = "2026-01-31T18:25:43-03:00",
    invoiceNumber = number,
    invoiceValue = cents,
    items = new[] { new { id = "1234", price = cents, quantity = 1 } },
});
await Send($"invoices/{number}/tracking", $"nf-{number}-sent", new
{
    trackingNumber = "BR123456789",
    courier = "Correios",
    isDelivered = false,
    events = new[] { new { city = "Niterói", state = "RJ", description = "Saiu para entrega", date = "2026-02-01" } },
});
await Outcome($"nf-{number}");
await Outcome($"nf-{number}-sent");

async Task Send(string path, string key, object body) => await Ask(() =>
{
    var request = new HttpRequestMessage(HttpMethod.Post, $"/v1/orders/{Uri.EscapeDataString(order)}/{path}")
    {
        Content = JsonContent.Create(body),
    };
    request.Headers.Add("Idempotency-Key", key);
    return request;
});

async Task Outcome(string key)
{
    while (true)
    {
        var command = await Ask(() => new HttpRequestMessage(HttpMethod.Get, $"/v1/commands/{Uri.EscapeDataString(key)}"));
        var state = command.GetProperty("state").GetString();
        if (state == "done")
        {
            Console.WriteLine($"{key}: done");
            return;
        }
        if (state is "refused" or "dead")
        {
            throw new Exception($"{key}: {command.GetProperty("outcome").GetProperty("why").GetString()}");
        }
        await Task.Delay(1000);
    }
}

// The same key again is the same command: so whatever goes wrong on the way, it is sent again as it is.
async Task<JsonElement> Ask(Func<HttpRequestMessage> make)
{
    for (var tries = 1; ; tries++)
    {
        var why = "no answer";
        try
        {
            using var answer = await client.SendAsync(make());
            if (answer.IsSuccessStatusCode)
            {
                return await answer.Content.ReadFromJsonAsync<JsonElement>();
            }
            why = await answer.Content.ReadAsStringAsync();
            if ((int)answer.StatusCode != 429 && (int)answer.StatusCode < 500)
            {
                tries = 5;
            }
        }
        catch (Exception noAnswer) when (noAnswer is HttpRequestException or TaskCanceledException)
        {
            // it may have arrived all the same
        }
        if (tries >= 5)
        {
            throw new Exception(why);
        }
        await Task.Delay(TimeSpan.FromSeconds(5));
    }
}
