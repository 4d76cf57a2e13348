// A service in Java: publishes changes by Kafka's own client, with its defaults, and says to which partition each went.
// Arguments: bootstrap servers, topic, key form (text, json, int64), milliseconds since 1970, product ids...
// The last product is deleted by a record without a value.

import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Future;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.serialization.LongSerializer;
import org.apache.kafka.common.serialization.Serializer;
import org.apache.kafka.common.serialization.StringSerializer;

public class PublishRecords {
    public static void main(String[] arguments) throws Exception {
        String topic = arguments[1];
        String form = arguments[2];
        long updatedAt = Long.parseLong(arguments[3]);
        List<String> products = List.of(arguments).subList(4, arguments.length);

        Serializer<?> keys = form.equals("int64") ? new LongSerializer() : new StringSerializer();
        Map<String, Object> settings = new HashMap<>();
        settings.put("bootstrap.servers", arguments[0]);
        @SuppressWarnings("unchecked")
        KafkaProducer<Object, String> producer =
                new KafkaProducer<>(settings, (Serializer<Object>) keys, new StringSerializer());

        Map<String, Future<RecordMetadata>> sent = new LinkedHashMap<>();
        for (String product : products) {
            String value = "{\"updated_at\": " + updatedAt + ", \"sequence\": 1, \"data\": {\"by\": \"Java\"}}";
            sent.put(product, producer.send(new ProducerRecord<>(topic, key(form, product), value)));
        }
        String last = products.get(products.size() - 1);
        ProducerRecord<Object, String> tombstone = new ProducerRecord<>(topic, key(form, last), null);
        String deletedAt = Long.toString(updatedAt + 1);
        tombstone.headers().add("updated_at", deletedAt.getBytes(StandardCharsets.UTF_8));
        tombstone.headers().add("sequence", "2".getBytes(StandardCharsets.UTF_8));
        sent.put(last, producer.send(tombstone));

        producer.close();
        for (Map.Entry<String, Future<RecordMetadata>> one : sent.entrySet()) {
            System.out.println(one.getKey() + " " + one.getValue().get().partition());
        }
    }

    private static Object key(String form, String product) {
        switch (form) {
            case "int64":
                return Long.parseLong(product);
            case "json":
                return "\"" + product + "\"";
            default:
                return product;
        }
    }
}
