import kafkajs from "kafkajs";
import { SnappyCodec } from "kafkajs-snappy-typescript";

kafkajs.CompressionCodecs[kafkajs.CompressionTypes.Snappy] = new SnappyCodec().codec;
