# [write]
kafka-acls --bootstrap-server kafka:9092 --command-config admin.properties \
    --add --allow-principal User:lfsproxy --operation Write --topic clips
# [/write]
# [read]
kafka-acls --bootstrap-server kafka:9092 --command-config admin.properties \
    --add --allow-principal User:lfsproxy --operation Read --topic clips
# [/read]
# [create]
kafka-acls --bootstrap-server kafka:9092 --command-config admin.properties \
    --add --allow-principal User:lfsproxy --operation Write --operation Create \
    --topic camera- --resource-pattern-type prefixed
# [/create]
# [producer]
kafka-acls --bootstrap-server kafka:9092 --command-config admin.properties \
    --add --allow-principal User:alice --operation Write --topic clips
# [/producer]
# [consumer]
kafka-acls --bootstrap-server kafka:9092 --command-config admin.properties \
    --add --allow-principal User:bob --operation Read --topic clips
kafka-acls --bootstrap-server kafka:9092 --command-config admin.properties \
    --add --allow-principal User:bob --operation Read --group viewers
# [/consumer]
